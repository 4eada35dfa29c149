//! Certificates of those who sign for numbers (RFC 8226): is this chain trusted, and is this its signature?
//!
//! Neither revocation nor the TNAuthList is looked at.

use std::fmt;
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

use crate::refusal::Refusal;

/// What the certificates above may be signed with.
const CHAIN_ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 4] = [
    webpki::ring::ECDSA_P256_SHA256,
    webpki::ring::ECDSA_P256_SHA384,
    webpki::ring::ECDSA_P384_SHA256,
    webpki::ring::ECDSA_P384_SHA384,
];

/// anyExtendedKeyUsage, 2.5.29.37.0. These certificates name no extended use; one that is for something else, such as
/// a web server, does not sign calls.
const ANY_USE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];

/// Of what is fetched for one URL.
pub const PEM_LENGTH_MAX: usize = 64 * 1024;
const CERTIFICATES_MAX: usize = 8;

/// The roots that we believe, such as the list of a policy administrator.
#[derive(Clone, Debug)]
pub struct TrustAnchors(Vec<TrustAnchor<'static>>);

/// None, or one that is no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnchorsUnreadable;

impl TrustAnchors {
    pub fn from_pem(pem: &[u8]) -> Result<TrustAnchors, AnchorsUnreadable> {
        let anchors = CertificateDer::pem_slice_iter(pem).map(|der| {
            let der = der.map_err(|_| AnchorsUnreadable)?;
            let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|_| AnchorsUnreadable)?;
            Ok(anchor.to_owned())
        });
        let anchors = anchors.collect::<Result<Vec<_>, _>>()?;
        if anchors.is_empty() { Err(AnchorsUnreadable) } else { Ok(TrustAnchors(anchors)) }
    }

    /// `pem`: the signer's certificate first, then those that lead to an anchor. `signature`: r and s.
    pub(crate) fn check(
        &self,
        pem: &[u8],
        now_seconds: u64,
        signed: &[u8],
        signature: &[u8; 64],
    ) -> Result<(), Refusal> {
        if pem.len() > PEM_LENGTH_MAX {
            return Err(Refusal::CertificateUnreadable);
        }
        let chain = CertificateDer::pem_slice_iter(pem).take(CERTIFICATES_MAX);
        let chain = chain.collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|_| Refusal::CertificateUnreadable)?;
        let (first, above) = chain.split_first().ok_or(Refusal::CertificateUnreadable)?;
        let certificate =
            EndEntityCert::try_from(first).map_err(|_| Refusal::CertificateUnreadable)?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now_seconds));
        let usage = KeyUsage::required_if_present(ANY_USE);
        certificate
            .verify_for_usage(&CHAIN_ALGORITHMS, &self.0, above, now, usage, None, None)
            .map_err(|error| chain_refusal(&error))?;
        let signature = der_signature(signature);
        match certificate.verify_signature(webpki::ring::ECDSA_P256_SHA256, signed, &signature) {
            Ok(()) => Ok(()),
            Err(Error::InvalidSignatureForPublicKey) => Err(Refusal::BadSignature),
            // A key of another curve or kind.
            Err(_) => Err(Refusal::CertificateUnfit),
        }
    }
}

fn chain_refusal(error: &Error) -> Refusal {
    match error {
        Error::CertExpired { .. } | Error::CertNotValidYet { .. } => Refusal::CertificateOutOfTime,
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => Refusal::CertificateUntrusted,
        Error::BadDer | Error::BadDerTime => Refusal::CertificateUnreadable,
        _ => Refusal::CertificateUnfit,
    }
}

/// JWS writes r and s at their full length; X.509 software reads the sequence of two integers of RFC 3279
/// section 2.2.3.
fn der_signature(fixed: &[u8; 64]) -> Vec<u8> {
    let (r, s) = fixed.split_at(32);
    let [r, s] = [r, s].map(|number| {
        let zeros = number.iter().take(31).take_while(|octet| **octet == 0).count();
        let digits = &number[zeros..];
        // The top bit would make it negative.
        let sign: &[u8] = if digits[0] & 0x80 == 0 { &[] } else { &[0] };
        let length = u8::try_from(sign.len() + digits.len()).expect("at most 33 octets");
        [&[0x02, length][..], sign, digits].concat()
    });
    let length = u8::try_from(r.len() + s.len()).expect("at most 70 octets");
    [&[0x30, length][..], &r, &s].concat()
}

impl fmt::Display for AnchorsUnreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("no trust anchors: a PEM of one or more root certificates is expected")
    }
}

impl std::error::Error for AnchorsUnreadable {}
