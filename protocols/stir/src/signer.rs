//! The authentication service (RFC 8224 section 6.1): signs for the calls that we originate or divert.
//!
//! ECDSA wants randomness for every signature and takes it from the system: a signature is never the same twice.

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;

use crate::certificate_url::CertificateUrl;
use crate::identity::signed_value;
use crate::passport::Claims;

pub struct Signer {
    key: EcdsaKeyPair,
    url: CertificateUrl,
    random: SystemRandom,
}

/// Not a P-256 private key in PKCS#8 and PEM (`BEGIN PRIVATE KEY`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUnreadable;

/// The system gave no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigningFailed;

impl Signer {
    /// `url`: where others find the certificate of this key and those above it.
    pub fn from_pem(private_key: &[u8], url: CertificateUrl) -> Result<Signer, KeyUnreadable> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(private_key).map_err(|_| KeyUnreadable)?;
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            der.secret_pkcs8_der(),
            &random,
        );
        Ok(Signer { key: key.map_err(|_| KeyUnreadable)?, url, random })
    }

    /// The value of an Identity header.
    pub fn sign(&self, claims: &Claims) -> Result<String, SigningFailed> {
        signed_value(claims, self.url.as_str(), |octets| {
            let signature = self.key.sign(&self.random, octets).map_err(|_| SigningFailed)?;
            Ok(signature.as_ref().to_vec())
        })
    }
}

/// Without the key.
impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Signer").field("url", &self.url).finish_non_exhaustive()
    }
}

impl fmt::Display for KeyUnreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not a P-256 private key in PKCS#8 (a PEM of `BEGIN PRIVATE KEY`)")
    }
}

impl std::error::Error for KeyUnreadable {}

impl fmt::Display for SigningFailed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the system gives no randomness to sign with")
    }
}

impl std::error::Error for SigningFailed {}
