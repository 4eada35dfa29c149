//! Signed JWTs of clients (RFC 7515, 7517, 7518), verified with the client's own public keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What clients may sign with; `none` and shared secrets are not among them.
pub(super) const ALGORITHMS: [&str; 5] = ["ES256", "ES384", "EdDSA", "PS256", "RS256"];

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

/// A JSON Web Key, as far as verifying needs it.
#[derive(Deserialize)]
struct Key {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// Are these usable public keys?
pub(crate) fn check_keys(keys: &str) -> Result<(), &'static str> {
    let set: KeySet =
        serde_json::from_str(keys).map_err(|_| "expected a JWK set: {\"keys\": [...]}")?;
    if set.keys.is_empty() || set.keys.len() > 16 {
        return Err("expected 1 to 16 keys");
    }
    let usable = |key: &Key| ALGORITHMS.iter().any(|alg| key.fits(alg) && key.material().is_some());
    if set.keys.iter().all(usable) { Ok(()) } else { Err("a key is not of kind RSA, EC or OKP") }
}

/// The claims of a compact JWS that one of the keys has signed.
pub(super) fn verify<T: DeserializeOwned>(token: &str, keys: &str) -> Option<T> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let set: KeySet = serde_json::from_str(keys).ok()?;
    let named = |key: &&Key| header.kid.is_none() || key.kid == header.kid;
    let mut fitting = set.keys.iter().filter(named).filter(|key| key.fits(&header.alg));
    fitting
        .any(|key| key.verifies(&header.alg, signed.as_bytes(), &signature))
        .then(|| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok())?
}

enum Material {
    Point(Vec<u8>),
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
}

impl Key {
    fn fits(&self, algorithm: &str) -> bool {
        let kind = match algorithm {
            "ES256" => ("EC", Some("P-256")),
            "ES384" => ("EC", Some("P-384")),
            "EdDSA" => ("OKP", Some("Ed25519")),
            "PS256" | "RS256" => ("RSA", None),
            _ => return false,
        };
        (self.kty.as_str(), self.crv.as_deref()) == kind
            && self.alg.as_deref().is_none_or(|own| own == algorithm)
    }

    fn material(&self) -> Option<Material> {
        let part = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        match self.kty.as_str() {
            // SEC 1 section 2.3.3: 04, then both coordinates.
            "EC" => Some(Material::Point([vec![4], part(&self.x)?, part(&self.y)?].concat())),
            "OKP" => part(&self.x).map(Material::Point),
            "RSA" => {
                Some(Material::Rsa(RsaPublicKeyComponents { n: part(&self.n)?, e: part(&self.e)? }))
            }
            _ => None,
        }
    }

    fn verifies(&self, algorithm: &str, signed: &[u8], signature: &[u8]) -> bool {
        let point = |with: &'static dyn signature::VerificationAlgorithm, point: Vec<u8>| {
            UnparsedPublicKey::new(with, point).verify(signed, signature).is_ok()
        };
        match (self.material(), algorithm) {
            (Some(Material::Point(key)), "ES256") => point(&ECDSA_P256_SHA256_FIXED, key),
            (Some(Material::Point(key)), "ES384") => point(&ECDSA_P384_SHA384_FIXED, key),
            (Some(Material::Point(key)), "EdDSA") => point(&ED25519, key),
            (Some(Material::Rsa(key)), "PS256") => {
                key.verify(&RSA_PSS_2048_8192_SHA256, signed, signature).is_ok()
            }
            (Some(Material::Rsa(key)), "RS256") => {
                key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature).is_ok()
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037 appendix A: Ed25519.
    const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    const SIGNED: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

    #[test]
    fn the_rfc_example_verifies_and_a_changed_one_does_not() {
        let set: KeySet = serde_json::from_str(KEYS).expect("keys");
        let (signed, signature) = SIGNED.rsplit_once('.').expect("three parts");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        assert!(set.keys[0].verifies("EdDSA", signed.as_bytes(), &signature));
        assert!(!set.keys[0].verifies("EdDSA", b"other", &signature));
        assert_eq!(check_keys(KEYS), Ok(()));
    }

    #[test]
    fn a_token_that_names_no_algorithm_or_a_shared_secret_is_nobodys() {
        for alg in ["none", "HS256", "ES256"] {
            let header = URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"{alg}\"}}"));
            let token = format!("{header}.{}.", URL_SAFE_NO_PAD.encode("{}"));
            assert!(verify::<serde_json::Value>(&token, KEYS).is_none(), "{alg}");
        }
    }
}
