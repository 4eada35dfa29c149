//! STIR and SHAKEN, sans-IO: who signs for the number that a call shows (RFC 8224, 8225, 8226, 8588, 8946).
//!
//! An [`Identity`] header value carries a PASSporT, a signed statement of who calls whom. A [`Signer`] makes such
//! values for the calls we originate or divert, a [`Verifier`] judges those of others. Time is handed in as unix
//! seconds; certificates are fetched by the shell around it, which asks a [`CertificateUrl`] whether it may and keeps
//! them in a [`CertificateCache`].
//!
//! Left out on purpose: the compact form (RFC 8225 section 7), `div-o` and nested PASSporTs (RFC 8946 section 5),
//! revocation, and the TNAuthList of a certificate (RFC 8226 section 9): it is not read, so that any holder of a
//! certificate below a trust anchor may sign for any number, as SHAKEN does with its service provider codes.

pub mod certificate;
pub mod certificate_cache;
pub mod certificate_url;
pub mod identity;
pub mod passport;
pub mod refusal;
pub mod signer;
pub mod telephone_number;
pub mod verifier;

pub use certificate::{AnchorsUnreadable, TrustAnchors};
pub use certificate_cache::{Cached, CertificateCache};
pub use certificate_url::CertificateUrl;
pub use identity::{Extension, Identity};
pub use passport::{Attestation, Claims, OriginationId, Party, Statement};
pub use refusal::{Refusal, Verdict};
pub use signer::{KeyUnreadable, Signer, SigningFailed};
pub use telephone_number::TelephoneNumber;
pub use verifier::{Call, Unproven, Verifier};

/// What a value says, believed or not: for those who only look, and the entry for any bytes.
pub fn read(value: &[u8]) -> Result<(Identity<'_>, Claims), Refusal> {
    let identity = Identity::parse(value)?;
    let claims = identity.claims()?;
    Ok((identity, claims))
}
