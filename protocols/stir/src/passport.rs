//! What a PASSporT claims: who calls whom, since when, and who vouches how far (RFC 8225 section 5, 8588, 8946).

use serde::{Deserialize, Serialize};

use crate::identity::Extension;
use crate::telephone_number::TelephoneNumber;

/// An end of a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    Number(TelephoneNumber),
    /// In the form of RFC 8224 section 8.5; compared octet by octet.
    Uri(String),
}

impl Party {
    pub fn number(text: &str) -> Option<Party> {
        TelephoneNumber::canonical(text).map(Party::Number)
    }
}

/// How far the signer vouches for the number (RFC 8588 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attestation {
    /// A: its subscriber, who may use the number.
    Full,
    /// B: its subscriber; the number was not checked.
    Partial,
    /// C: the call only came in through its gateway.
    Gateway,
}

impl Attestation {
    pub fn letter(self) -> &'static str {
        match self {
            Attestation::Full => "A",
            Attestation::Partial => "B",
            Attestation::Gateway => "C",
        }
    }

    pub fn from_letter(letter: &str) -> Option<Attestation> {
        let all = [Attestation::Full, Attestation::Partial, Attestation::Gateway];
        all.into_iter().find(|one| one.letter() == letter)
    }
}

/// A UUID in its text form, by which the signer finds where the call came from (RFC 8588 section 5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OriginationId(String);

impl OriginationId {
    /// A UUID of version 8 (RFC 9562 section 5.8) from these bits.
    pub fn of(high: u64, low: u64) -> OriginationId {
        let high = (high & !0xf000) | 0x8000;
        let low = (low & !(0b11 << 62)) | (0b10 << 62);
        OriginationId(format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        ))
    }

    pub fn parse(text: &str) -> Option<OriginationId> {
        let is_sound = text.len() == 36
            && text.bytes().enumerate().all(|(index, octet)| match index {
                8 | 13 | 18 | 23 => octet == b'-',
                _ => octet.is_ascii_hexdigit(),
            });
        is_sound.then(|| OriginationId(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is stated beyond who calls whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Statement {
    Plain,
    Shaken {
        attestation: Attestation,
        origination_id: OriginationId,
    },
    /// The call was for this party before it was sent on to its destination.
    Diverted {
        from: Party,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claims {
    pub orig: Party,
    /// At least one.
    pub dest: Vec<Party>,
    /// `iat`: when the call was made or diverted, in unix seconds.
    pub issued_at_seconds: u64,
    pub statement: Statement,
}

/// The members in the order of their names, without any that is empty: serialised, it is the canonical form.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Payload {
    #[serde(skip_serializing_if = "Option::is_none")]
    attest: Option<String>,
    dest: Parties,
    #[serde(skip_serializing_if = "Option::is_none")]
    div: Option<OneParty>,
    iat: Option<u64>,
    orig: OneParty,
    #[serde(skip_serializing_if = "Option::is_none")]
    origid: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Parties {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tn: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    uri: Vec<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct OneParty {
    #[serde(skip_serializing_if = "Option::is_none")]
    tn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
}

impl OneParty {
    fn from_party(party: &Party) -> OneParty {
        match party {
            Party::Number(number) => OneParty { tn: Some(number.as_str().to_owned()), uri: None },
            Party::Uri(uri) => OneParty { tn: None, uri: Some(uri.clone()) },
        }
    }

    /// Exactly one of the two (RFC 8225 section 5.2.1).
    fn to_party(&self) -> Option<Party> {
        match (&self.tn, &self.uri) {
            (Some(number), None) => Party::number(number),
            (None, Some(uri)) => Some(Party::Uri(uri.clone())),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }
}

impl Claims {
    pub fn extension(&self) -> Extension {
        match self.statement {
            Statement::Plain => Extension::Plain,
            Statement::Shaken { .. } => Extension::Shaken,
            Statement::Diverted { .. } => Extension::Div,
        }
    }

    /// Members and destinations in lexicographic order, no white space (RFC 8225 section 9).
    pub fn canonical_json(&self) -> String {
        let mut payload = Payload {
            iat: Some(self.issued_at_seconds),
            orig: OneParty::from_party(&self.orig),
            ..Payload::default()
        };
        for party in &self.dest {
            match party {
                Party::Number(number) => payload.dest.tn.push(number.as_str().to_owned()),
                Party::Uri(uri) => payload.dest.uri.push(uri.clone()),
            }
        }
        payload.dest.tn.sort();
        payload.dest.uri.sort();
        match &self.statement {
            Statement::Plain => {}
            Statement::Shaken { attestation, origination_id } => {
                payload.attest = Some(attestation.letter().to_owned());
                payload.origid = Some(origination_id.as_str().to_owned());
            }
            Statement::Diverted { from } => payload.div = Some(OneParty::from_party(from)),
        }
        serde_json::to_string(&payload).expect("strings and integers become JSON")
    }

    /// None: claims missing or of another form. Numbers written with `+` or separators, as some peers do, are read as
    /// the numbers they mean.
    pub(crate) fn from_json(extension: &Extension, json: &[u8]) -> Option<Claims> {
        let payload: Payload = serde_json::from_slice(json).ok()?;
        let numbers = payload.dest.tn.iter().map(|number| Party::number(number));
        let uris = payload.dest.uri.iter().map(|uri| Some(Party::Uri(uri.clone())));
        let dest: Vec<Party> = numbers.chain(uris).collect::<Option<_>>()?;
        if dest.is_empty() {
            return None;
        }
        let statement = match extension {
            Extension::Plain => Statement::Plain,
            Extension::Shaken => Statement::Shaken {
                attestation: Attestation::from_letter(payload.attest.as_deref()?)?,
                origination_id: OriginationId::parse(payload.origid.as_deref()?)?,
            },
            Extension::Div => Statement::Diverted { from: payload.div?.to_party()? },
            Extension::Other(_) => return None,
        };
        let orig = payload.orig.to_party()?;
        Some(Claims { orig, dest, issued_at_seconds: payload.iat?, statement })
    }
}
