//! Digest authentication (RFC 7616, RFC 8760): MD5, SHA-256 and SHA-512/256.

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

use crate::fields::{list, unquoted};
use crate::tokens::{Tokens, from_hex, hex};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Sha512_256,
    Sha256,
    Md5,
}

impl Algorithm {
    /// Strongest first: the order in which challenges are sent.
    pub const ALL: [Algorithm; 3] = [Algorithm::Sha512_256, Algorithm::Sha256, Algorithm::Md5];

    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha512_256 => "SHA-512-256",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Md5 => "MD5",
        }
    }

    pub fn parse(name: &[u8]) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|one| name.eq_ignore_ascii_case(one.name().as_bytes()))
    }

    /// Lower-case hexadecimal of the hash of the parts, joined by colons.
    pub fn hash(self, parts: &[&[u8]]) -> String {
        let joined = parts.join(&b':');
        let octets = match self {
            Algorithm::Sha512_256 => Sha512_256::digest(&joined).to_vec(),
            Algorithm::Sha256 => Sha256::digest(&joined).to_vec(),
            Algorithm::Md5 => Md5::digest(&joined).to_vec(),
        };
        octets.iter().flat_map(|octet| [octet >> 4, octet & 15]).map(digit).collect()
    }

    /// What is stored instead of a password.
    pub fn ha1(self, user: &str, realm: &str, password: &str) -> String {
        self.hash(&[user.as_bytes(), realm.as_bytes(), password.as_bytes()])
    }
}

fn digit(value: u8) -> char {
    char::from(b"0123456789abcdef"[usize::from(value & 15)])
}

/// Looks up the parameters of a header of the Digest scheme.
fn fields<'a>(value: &'a [u8]) -> Option<impl Fn(&str) -> Option<&'a [u8]>> {
    let (scheme, rest) = value.trim_ascii().split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"Digest") {
        return None;
    }
    Some(move |name: &str| {
        list(rest).find_map(|one| {
            let equals = one.iter().position(|octet| *octet == b'=')?;
            let named = one[..equals].trim_ascii().eq_ignore_ascii_case(name.as_bytes());
            named.then(|| unquoted(one[equals + 1..].trim_ascii()))
        })
    })
}

/// The credentials of an Authorization header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials<'a> {
    pub user: &'a [u8],
    pub realm: &'a [u8],
    pub nonce: &'a [u8],
    pub uri: &'a [u8],
    pub response: &'a [u8],
    pub algorithm: Algorithm,
    pub cnonce: &'a [u8],
    pub count: &'a [u8],
    pub qop: &'a [u8],
}

impl<'a> Credentials<'a> {
    pub fn parse(value: &'a [u8]) -> Option<Credentials<'a>> {
        let field = fields(value)?;
        Some(Credentials {
            user: field("username")?,
            realm: field("realm")?,
            nonce: field("nonce")?,
            uri: field("uri")?,
            response: field("response")?,
            algorithm: field("algorithm").map_or(Some(Algorithm::Md5), Algorithm::parse)?,
            cnonce: field("cnonce").unwrap_or_default(),
            count: field("nc").unwrap_or_default(),
            qop: field("qop").unwrap_or_default(),
        })
    }

    /// Do these credentials prove that their sender knows the password behind `ha1`?
    pub fn prove(&self, ha1: &str, method: &[u8]) -> bool {
        let ha2 = self.algorithm.hash(&[method, self.uri]);
        let expected = if self.qop.is_empty() {
            self.algorithm.hash(&[ha1.as_bytes(), self.nonce, ha2.as_bytes()])
        } else {
            let parts =
                [ha1.as_bytes(), self.nonce, self.count, self.cnonce, self.qop, ha2.as_bytes()];
            self.algorithm.hash(&parts)
        };
        // In the same time whatever differs.
        let given = self.response.to_ascii_lowercase();
        given.len() == expected.len()
            && given.iter().zip(expected.as_bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
    }

    pub fn nonce_count(&self) -> Option<u64> {
        from_hex(self.count)
    }
}

/// What another server asks of us, in WWW-Authenticate or Proxy-Authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    pub realm: &'a [u8],
    pub nonce: &'a [u8],
    pub opaque: Option<&'a [u8]>,
    pub algorithm: Algorithm,
    /// It knows `qop=auth`; without that it is a server of RFC 2069.
    pub counts: bool,
    /// The password was right, the nonce too old.
    pub is_stale: bool,
}

impl<'a> Challenge<'a> {
    const LENGTH_MAX: usize = 2048;

    /// None: of another scheme, of an algorithm that we do not know, or one that wants more than `auth`.
    pub fn parse(value: &'a [u8]) -> Option<Challenge<'a>> {
        // What comes back in our request must leave room for the rest of it.
        if value.len() > Self::LENGTH_MAX {
            return None;
        }
        let field = fields(value)?;
        let qop = field("qop");
        let counts = qop
            .is_some_and(|qop| list(qop).any(|one| one.trim_ascii().eq_ignore_ascii_case(b"auth")));
        (counts || qop.is_none()).then_some(Challenge {
            realm: field("realm")?,
            nonce: field("nonce")?,
            opaque: field("opaque"),
            algorithm: field("algorithm").map_or(Some(Algorithm::Md5), Algorithm::parse)?,
            counts,
            is_stale: field("stale").is_some_and(|stale| stale.eq_ignore_ascii_case(b"true")),
        })
    }

    /// The strongest of those that can be met (RFC 8760 section 2.4).
    pub fn strongest(values: impl Iterator<Item = &'a [u8]>) -> Option<Challenge<'a>> {
        let place = |one: &Challenge<'_>| Algorithm::ALL.iter().position(|of| *of == one.algorithm);
        values.filter_map(Challenge::parse).min_by_key(place)
    }

    /// The credentials that meet it, for the first request with this nonce (RFC 7616 section 3.4).
    pub fn meet(
        &self,
        (user, password): (&str, &str),
        method: &[u8],
        uri: &[u8],
        cnonce: &[u8],
    ) -> Vec<u8> {
        let realm = String::from_utf8_lossy(self.realm);
        let ha1 = self.algorithm.ha1(user, &realm, password);
        let ha2 = self.algorithm.hash(&[method, uri]);
        let counted: [&[u8]; 6] =
            [ha1.as_bytes(), self.nonce, b"00000001", cnonce, b"auth", ha2.as_bytes()];
        let response = if self.counts {
            self.algorithm.hash(&counted)
        } else {
            self.algorithm.hash(&[ha1.as_bytes(), self.nonce, ha2.as_bytes()])
        };
        let mut value = Vec::with_capacity(256);
        let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| value.extend_from_slice(part));
        put(&[b"Digest username=\"", user.as_bytes(), b"\", realm=\"", self.realm]);
        put(&[b"\", nonce=\"", self.nonce, b"\", uri=\"", uri]);
        put(&[b"\", response=\"", response.as_bytes(), b"\", algorithm="]);
        put(&[self.algorithm.name().as_bytes()]);
        if self.counts {
            put(&[b", qop=auth, nc=00000001, cnonce=\"", cnonce, b"\""]);
        }
        if let Some(opaque) = self.opaque {
            put(&[b", opaque=\"", opaque, b"\""]);
        }
        value
    }
}

/// What a nonce of ours says when it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonce {
    Fresh,
    /// Ours, but too old: ask again with `stale=true`.
    Stale,
    Foreign,
}

/// Makes nonces that need no memory: the time, a salt that makes each its own, and a seal that only we can make.
#[derive(Clone, Debug)]
pub struct Nonces {
    seal: Tokens,
    pub life_seconds: u64,
}

impl Nonces {
    pub fn new(seal: Tokens, life_seconds: u64) -> Nonces {
        Nonces { seal, life_seconds }
    }

    /// `salt`: another one for every challenge, or clients would count their requests on one nonce.
    pub fn issue(&self, unix_seconds: u64, salt: u64) -> String {
        let said = [hex(unix_seconds), hex(salt)].concat();
        let seal = hex(self.seal.keyed(&said));
        said.iter().chain(&seal).map(|octet| char::from(*octet)).collect()
    }

    pub fn check(&self, nonce: &[u8], unix_seconds: u64) -> Nonce {
        let Some((said, seal)) = nonce.split_at_checked(32) else { return Nonce::Foreign };
        if seal != hex(self.seal.keyed(said)) {
            return Nonce::Foreign;
        }
        match from_hex(&said[..16]) {
            Some(issued) if issued + self.life_seconds >= unix_seconds => Nonce::Fresh,
            Some(_) => Nonce::Stale,
            None => Nonce::Foreign,
        }
    }
}

/// The value of one challenge.
pub fn challenge(realm: &str, nonce: &str, algorithm: Algorithm, is_stale: bool) -> String {
    let stale = if is_stale { ", stale=true" } else { "" };
    format!(
        "Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={}, qop=\"auth\"{stale}",
        algorithm.name()
    )
}
