//! A certification authority for telephone identities in a few lines of DER (RFC 5280, RFC 8226).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const TN_AUTH_LIST: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1a];

/// What a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Authority,
    /// With a TNAuthList of one service provider code, as SHAKEN has it.
    Provider,
    WebServer,
}

pub struct Key {
    pkcs8: Vec<u8>,
    pair: EcdsaKeyPair,
}

impl Key {
    pub fn generate() -> Key {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a key");
        Key { pkcs8: pkcs8.as_ref().to_vec(), pair }
    }

    pub fn point(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    pub fn pem(&self) -> String {
        pem("PRIVATE KEY", &self.pkcs8)
    }
}

pub struct Authority {
    name: String,
    key: Key,
    pub pem: String,
}

/// Validity as the certificates of these tests have it when nothing else is said.
pub const VALID: (&str, &str) = ("160101000000Z", "360101000000Z");

impl Authority {
    pub fn root(name: &str) -> Authority {
        let key = Key::generate();
        let mut root = Authority { name: name.to_owned(), key, pem: String::new() };
        root.pem = root.certify(name, root.key.point(), Kind::Authority, VALID);
        root
    }

    pub fn below(&self, name: &str, valid: (&str, &str)) -> Authority {
        let key = Key::generate();
        let pem = self.certify(name, key.point(), Kind::Authority, valid);
        Authority { name: name.to_owned(), key, pem }
    }

    /// The PEM of a certificate for `point`, a public key.
    pub fn certify(&self, name: &str, point: &[u8], kind: Kind, valid: (&str, &str)) -> String {
        let algorithm = der(0x30, &[&der(0x06, &[ECDSA_WITH_SHA256])]);
        let times = [valid.0, valid.1].map(|time| der(0x17, &[time.as_bytes()]));
        let key_kind = der(0x30, &[&der(0x06, &[EC_PUBLIC_KEY]), &der(0x06, &[PRIME256V1])]);
        let extension = match kind {
            Kind::Authority => extension(BASIC_CONSTRAINTS, &der(0x30, &[&der(0x01, &[&[0xff]])])),
            Kind::Provider => {
                extension(TN_AUTH_LIST, &der(0x30, &[&der(0xa0, &[&der(0x16, &[b"1234"])])]))
            }
            Kind::WebServer => {
                extension(EXTENDED_KEY_USAGE, &der(0x30, &[&der(0x06, &[SERVER_AUTH])]))
            }
        };
        let body = der(
            0x30,
            &[
                &der(0xa0, &[&der(0x02, &[&[2]])]),
                &der(0x02, &[&[1]]),
                &algorithm,
                &distinguished(&self.name),
                &der(0x30, &[&times[0], &times[1]]),
                &distinguished(name),
                &der(0x30, &[&key_kind, &der(0x03, &[&[0], point])]),
                &der(0xa3, &[&der(0x30, &[&extension])]),
            ],
        );
        let signature = self.key.pair.sign(&SystemRandom::new(), &body).expect("a signature");
        let signature = der(0x03, &[&[0], signature.as_ref()]);
        pem("CERTIFICATE", &der(0x30, &[&body, &algorithm, &signature]))
    }
}

fn distinguished(name: &str) -> Vec<u8> {
    let named = der(0x30, &[&der(0x06, &[COMMON_NAME]), &der(0x0c, &[name.as_bytes()])]);
    der(0x30, &[&der(0x31, &[&named])])
}

fn extension(kind: &[u8], value: &[u8]) -> Vec<u8> {
    der(0x30, &[&der(0x06, &[kind]), &der(0x04, &[value])])
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).expect("a small certificate").to_be_bytes();
    let head = match length {
        [0, short @ 0..=0x7f] => vec![tag, short],
        [0, long] => vec![tag, 0x81, long],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head, content].concat()
}

pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
