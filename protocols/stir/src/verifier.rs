//! The verification service (RFC 8224 section 6.2): does somebody that we trust sign for this call?
//!
//! In two steps, so that nothing is fetched for a value that fails anyway: [`Verifier::examine`] checks all that
//! needs no certificate, [`Unproven::prove`] the rest. A call may bring several values and is judged by the caller:
//! one `div` that names the present destination says whom the call was for before (RFC 8946 section 4.2), and the
//! `shaken` value is then checked against that party.

use crate::certificate::TrustAnchors;
use crate::certificate_url::CertificateUrl;
use crate::identity::Identity;
use crate::passport::{Claims, Party};
use crate::refusal::Refusal;

/// Who calls whom, as the message says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub orig: Party,
    pub dest: Party,
}

#[derive(Clone, Debug)]
pub struct Verifier {
    pub anchors: TrustAnchors,
    /// How far `iat` may be from now, to either side. The Date header is not compared: in the full form `iat` counts
    /// (RFC 8224 section 6.2, step 4).
    pub age_seconds_max: u64,
}

/// Sound, of this call and fresh; only the signature is still to be proven.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "nothing is proven yet"]
pub struct Unproven<'a> {
    identity: Identity<'a>,
    url: CertificateUrl,
    claims: Claims,
}

impl Verifier {
    /// RFC 8224 section 6.2, step 4.
    pub const AGE_SECONDS: u64 = 60;

    pub fn new(anchors: TrustAnchors) -> Verifier {
        Verifier { anchors, age_seconds_max: Self::AGE_SECONDS }
    }

    pub fn examine<'a>(
        &self,
        value: &'a [u8],
        call: &Call,
        now_seconds: u64,
    ) -> Result<Unproven<'a>, Refusal> {
        let identity = Identity::parse(value)?;
        let claims = identity.claims()?;
        if identity.info != identity.x5u {
            return Err(Refusal::OtherCertificateUrl);
        }
        let url = CertificateUrl::parse(identity.info).ok_or(Refusal::CertificateUrlRefused)?;
        if claims.orig != call.orig {
            return Err(Refusal::OtherOrigin);
        }
        if !claims.dest.contains(&call.dest) {
            return Err(Refusal::OtherDestination);
        }
        if claims.issued_at_seconds.abs_diff(now_seconds) > self.age_seconds_max {
            return Err(Refusal::Stale);
        }
        Ok(Unproven { identity, url, claims })
    }

    /// Both steps at once, for who has the certificate at hand.
    pub fn verify(
        &self,
        value: &[u8],
        call: &Call,
        now_seconds: u64,
        pem: &[u8],
    ) -> Result<Claims, Refusal> {
        self.examine(value, call, now_seconds)?.prove(&self.anchors, now_seconds, pem)
    }
}

impl Unproven<'_> {
    /// Where the certificate is to be fetched.
    pub fn certificate_url(&self) -> &CertificateUrl {
        &self.url
    }

    /// `pem`: what was fetched, the signer's certificate first.
    pub fn prove(
        self,
        anchors: &TrustAnchors,
        now_seconds: u64,
        pem: &[u8],
    ) -> Result<Claims, Refusal> {
        anchors.check(pem, now_seconds, self.identity.signed(), self.identity.signature())?;
        Ok(self.claims)
    }
}
