//! The Identity header value (RFC 8224 section 4) and the header of the PASSporT in it (RFC 8225 section 4).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::passport::Claims;
use crate::refusal::Refusal;

/// What a PASSporT states beyond who calls whom: its `ppt`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Extension {
    /// No `ppt` (RFC 8225).
    Plain,
    /// RFC 8588.
    Shaken,
    /// RFC 8946.
    Div,
    /// One that we do not verify.
    Other(String),
}

impl Extension {
    /// Which kind a value carries, for those who choose among several; none: it cannot be read.
    pub fn of(value: &[u8]) -> Option<Extension> {
        Identity::parse(value).ok().map(|identity| identity.extension)
    }

    pub fn ppt(&self) -> Option<&str> {
        match self {
            Extension::Plain => None,
            Extension::Shaken => Some("shaken"),
            Extension::Div => Some("div"),
            Extension::Other(name) => Some(name),
        }
    }

    fn from_ppt(ppt: Option<String>) -> Extension {
        match ppt.as_deref() {
            None => Extension::Plain,
            Some("shaken") => Extension::Shaken,
            Some("div") => Extension::Div,
            Some(_) => Extension::Other(ppt.unwrap_or_default()),
        }
    }
}

/// A readable value. What it claims is proven by nobody yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// `header.payload` as received: what is signed.
    signed: &'a str,
    payload: &'a str,
    signature: [u8; 64],
    /// Where the certificate is, by the parameter outside of the signature.
    pub info: &'a str,
    /// Where the certificate is, by what is signed.
    pub x5u: String,
    pub extension: Extension,
}

/// The members in the order of their names, as RFC 8225 section 9 has them signed.
#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ppt: Option<&'a str>,
    typ: &'a str,
    x5u: &'a str,
}

#[derive(Deserialize)]
struct ReceivedHeader {
    alg: String,
    ppt: Option<String>,
    typ: String,
    x5u: String,
    /// Members that must be understood (RFC 7515 section 4.1.11); we know none.
    crit: Option<IgnoredAny>,
}

const ALGORITHM: &str = "ES256";
const TYPE: &str = "passport";

impl<'a> Identity<'a> {
    pub const LENGTH_MAX: usize = 8 * 1024;

    pub fn parse(value: &'a [u8]) -> Result<Identity<'a>, Refusal> {
        if value.len() > Self::LENGTH_MAX {
            return Err(Refusal::Malformed);
        }
        let value = std::str::from_utf8(value).map_err(|_| Refusal::Malformed)?.trim_ascii();
        let token = &value[..value.find(|sign| ends_token(sign, false)).unwrap_or(value.len())];
        if token.starts_with("..") {
            return Err(Refusal::CompactForm);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        let params = Params::parse(&value[token.len()..]).ok_or(Refusal::Malformed)?;
        let info = params.info.filter(|info| is_plain(info)).ok_or(Refusal::Malformed)?;

        let header: ReceivedHeader =
            serde_json::from_slice(&decoded(header)?).map_err(|_| Refusal::Malformed)?;
        let has_odd_ppt =
            header.ppt.as_deref().is_some_and(|ppt| !is_plain(ppt) || ppt.contains(';'));
        if header.typ != TYPE || header.crit.is_some() || has_odd_ppt {
            return Err(Refusal::Malformed);
        }
        if header.alg != ALGORITHM || params.alg.is_some_and(|alg| alg != ALGORITHM) {
            return Err(Refusal::UnknownAlgorithm);
        }
        // Peers leave the outer one away; what is signed counts.
        if params.ppt.is_some_and(|ppt| header.ppt.as_deref() != Some(ppt)) {
            return Err(Refusal::Malformed);
        }
        let extension = Extension::from_ppt(header.ppt);
        let signature = decoded(signature)?.try_into().map_err(|_| Refusal::Malformed)?;
        Ok(Identity { signed, payload, signature, info, x5u: header.x5u, extension })
    }

    pub fn claims(&self) -> Result<Claims, Refusal> {
        let payload = decoded(self.payload)?;
        match self.extension {
            Extension::Other(_) => Err(Refusal::UnknownExtension),
            Extension::Plain | Extension::Shaken | Extension::Div => {
                Claims::from_json(&self.extension, &payload).ok_or(Refusal::Malformed)
            }
        }
    }

    /// The octets under the signature.
    pub fn signed(&self) -> &'a [u8] {
        self.signed.as_bytes()
    }

    /// r and s, 32 octets each (RFC 7518 section 3.4).
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }
}

/// The value as we write it.
impl fmt::Display for Identity<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&value(self.signed, &self.signature, self.info, &self.extension))
    }
}

fn value(signed: &str, signature: &[u8], url: &str, extension: &Extension) -> String {
    let signature = URL_SAFE_NO_PAD.encode(signature);
    let ppt = extension.ppt().map(|ppt| format!(";ppt={ppt}")).unwrap_or_default();
    format!("{signed}.{signature};info=<{url}>;alg={ALGORITHM}{ppt}")
}

/// The value of one PASSporT; `sign` gives the signature of the octets that it is handed.
pub(crate) fn signed_value<E>(
    claims: &Claims,
    url: &str,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<String, E> {
    let extension = claims.extension();
    let header = Header { alg: ALGORITHM, ppt: extension.ppt(), typ: TYPE, x5u: url };
    let header = serde_json::to_string(&header).expect("strings become JSON");
    let signed = [header, claims.canonical_json()].map(|part| URL_SAFE_NO_PAD.encode(part));
    let signed = signed.join(".");
    let signature = sign(signed.as_bytes())?;
    Ok(value(&signed, &signature, url, &extension))
}

fn decoded(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}

/// May stand in a header that we write: nothing that ends it, or the parameter.
fn is_plain(text: &str) -> bool {
    let is_odd = |octet: u8| !octet.is_ascii_graphic() || matches!(octet, b'<' | b'>' | b'"');
    !text.is_empty() && !text.bytes().any(is_odd)
}

fn ends_token(sign: char, is_name: bool) -> bool {
    sign == ';' || sign.is_ascii_whitespace() || (is_name && sign == '=')
}

#[derive(Default)]
struct Params<'a> {
    info: Option<&'a str>,
    alg: Option<&'a str>,
    ppt: Option<&'a str>,
}

impl<'a> Params<'a> {
    /// `;name=value`, `;name="value"`, `;name=<value>` and `;name`, in any order; none: something else, or one twice.
    fn parse(text: &'a str) -> Option<Params<'a>> {
        let mut params = Params::default();
        let mut rest = text.trim_ascii_start();
        while !rest.is_empty() {
            rest = rest.strip_prefix(';')?.trim_ascii_start();
            let (name, after) = split(rest, true);
            rest = after.trim_ascii_start();
            let mut value = "";
            if let Some(after) = rest.strip_prefix('=') {
                (value, rest) = param_value(after.trim_ascii_start())?;
                rest = rest.trim_ascii_start();
            }
            let place = match name {
                name if name.eq_ignore_ascii_case("info") => &mut params.info,
                name if name.eq_ignore_ascii_case("alg") => &mut params.alg,
                name if name.eq_ignore_ascii_case("ppt") => &mut params.ppt,
                _ => continue,
            };
            if value.is_empty() || place.replace(value).is_some() {
                return None;
            }
        }
        Some(params)
    }
}

fn split(text: &str, is_name: bool) -> (&str, &str) {
    text.split_at(text.find(|sign| ends_token(sign, is_name)).unwrap_or(text.len()))
}

/// None of the values known needs an escape: one inside of quotes only ends where the quotes seem to.
fn param_value(text: &str) -> Option<(&str, &str)> {
    match text.as_bytes().first()? {
        b'"' => text[1..].split_once('"'),
        b'<' => text[1..].split_once('>'),
        _ => Some(split(text, false)),
    }
}
