//! Access tokens: sealed, so that they tell nothing to who holds them, and good after a restart.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tandem_domain::identifier::{ApiClientId, ContentProviderId, LineId, SubscriberId};
use tandem_domain::time::Timestamp;

/// What tokens begin with, so that they are recognised when they leak.
const PREFIX: &str = "ta_";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    #[serde(rename = "c")]
    pub client: u32,
    /// Bits of the line that it was issued for.
    #[serde(rename = "l")]
    pub line: Option<u64>,
    #[serde(rename = "s")]
    pub scopes: Vec<String>,
    /// Seconds since the epoch.
    #[serde(rename = "e")]
    expires: i64,
}

pub(crate) fn line_from_bits(bits: u64) -> LineId {
    LineId::new(SubscriberId::from_bits(bits >> 8), bits as u8)
}

/// Issues and opens tokens, and knows subscribers to the outside by pseudonyms.
pub(crate) struct Authority {
    key: LessSafeKey,
    pub assertions: super::assertion::Seen,
    pub requests: super::backchannel::Requests,
    pub issuer: String,
}

fn derive(secret: &[u8; 32], purpose: &str) -> [u8; 32] {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(secret).expect("any key length is fine");
    mac.update(purpose.as_bytes());
    mac.finalize().into_bytes().into()
}

/// What a provider may call a line by: the same for all its sales, and to nobody else.
pub(crate) fn pseudonym(secret: &[u8; 32], provider: ContentProviderId, line: LineId) -> String {
    let name = format!("subject {} {}", provider.number(), line.to_bits());
    derive(secret, &name).iter().take(16).map(|octet| format!("{octet:02x}")).collect()
}

impl Authority {
    pub fn new(secret: &[u8; 32], issuer: &str) -> Authority {
        let key = UnboundKey::new(&AES_256_GCM, &derive(secret, "access tokens"));
        Authority {
            key: LessSafeKey::new(key.expect("the key has the cipher's length")),
            assertions: Default::default(),
            requests: Default::default(),
            issuer: issuer.to_owned(),
        }
    }

    pub fn issue(
        &self,
        client: ApiClientId,
        line: Option<LineId>,
        scopes: Vec<String>,
        expires: Timestamp,
    ) -> String {
        let claims = Claims {
            client: client.number(),
            line: line.map(LineId::to_bits),
            scopes,
            expires: expires.seconds(),
        };
        let mut sealed = serde_json::to_vec(&claims).unwrap_or_default();
        let random = [0; 2].map(|_: u8| tandem_http_api::random_u64().to_be_bytes()).concat();
        let mut nonce = [0u8; NONCE_LEN];
        nonce.copy_from_slice(&random[..NONCE_LEN]);
        let sealing = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(sealing, Aad::empty(), &mut sealed)
            .expect("a token is far below the cipher's limit");
        let mut bytes = nonce.to_vec();
        bytes.append(&mut sealed);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The claims of a token of ours that is still good.
    pub fn open(&self, token: &str, now: Timestamp) -> Option<Claims> {
        let mut bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.key.open_in_place(nonce, Aad::empty(), sealed).ok()?;
        let claims: Claims = serde_json::from_slice(plain).ok()?;
        (claims.expires > now.seconds()).then_some(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_until_it_expires_and_never_when_it_was_touched() {
        let authority = Authority::new(&[7; 32], "https://broker.example");
        let until = Timestamp::from_seconds(1000);
        let line = line_from_bits(0x0100_0000_2a01);
        let token =
            authority.issue(ApiClientId::new(3), Some(line), vec!["sim-swap:check".into()], until);
        let opened = authority.open(&token, Timestamp::from_seconds(999)).expect("good");
        assert_eq!((opened.client, opened.line), (3, Some(line.to_bits())));
        assert_eq!(authority.open(&token, until), None);
        for index in PREFIX.len()..token.len() {
            let mut touched = token.clone().into_bytes();
            touched[index] = if touched[index] == b'A' { b'B' } else { b'A' };
            let touched = String::from_utf8(touched).expect("ASCII");
            let read = authority.open(&touched, Timestamp::from_seconds(0));
            // The last character's spare bits may not count; what is read is then the same.
            assert!(read.is_none() || read.as_ref() == Some(&opened), "{index}");
        }
        let other = Authority::new(&[8; 32], "https://broker.example");
        assert_eq!(other.open(&token, Timestamp::from_seconds(0)), None);
    }
}
