//! Why an Identity is not believed, and what each side is told: the caller by a SIP status (RFC 8224 section 6.2.2),
//! the called by `verstat` (3GPP TS 24.229 section 7.2A.20).

use std::fmt;

use crate::passport::Claims;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No Identity value, or no PASSporT in it.
    Malformed,
    /// `..signature` (RFC 8225 section 7): we do not rebuild what was signed.
    CompactForm,
    UnknownAlgorithm,
    /// To be ignored, as if it were not there (RFC 8224 section 6.2).
    UnknownExtension,
    /// `info` names another certificate than what is signed does.
    OtherCertificateUrl,
    /// Not an address that we would fetch from.
    CertificateUrlRefused,
    /// For the shell: it could not be fetched.
    CertificateUnavailable,
    /// What was fetched is no chain of certificates in PEM.
    CertificateUnreadable,
    /// It, or one above it, is expired or not valid yet.
    CertificateOutOfTime,
    /// It leads to no trust anchor.
    CertificateUntrusted,
    /// Not one for this: of a certification authority, for another use, of another kind of key.
    CertificateUnfit,
    BadSignature,
    /// Signed for another caller than the message shows.
    OtherOrigin,
    /// Signed for a call to somebody else.
    OtherDestination,
    /// Issued too long ago, or ahead of our clock.
    Stale,
}

impl Refusal {
    /// Status and reason phrase. 428 stands for an Identity that counts as none: whether one is required is policy.
    pub fn status(self) -> (u16, &'static str) {
        match self {
            Refusal::Stale => (403, "Stale Date"),
            Refusal::UnknownExtension => (428, "Use Identity Header"),
            Refusal::CertificateUrlRefused | Refusal::CertificateUnavailable => {
                (436, "Bad Identity Info")
            }
            Refusal::CertificateUnreadable
            | Refusal::CertificateOutOfTime
            | Refusal::CertificateUntrusted
            | Refusal::CertificateUnfit => (437, "Unsupported Credential"),
            Refusal::Malformed
            | Refusal::CompactForm
            | Refusal::UnknownAlgorithm
            | Refusal::OtherCertificateUrl
            | Refusal::BadSignature
            | Refusal::OtherOrigin
            | Refusal::OtherDestination => (438, "Invalid Identity Header"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Refusal::Malformed => "not an Identity value with a PASSporT",
            Refusal::CompactForm => "the compact form of a PASSporT is not supported",
            Refusal::UnknownAlgorithm => "signed with another algorithm than ES256",
            Refusal::UnknownExtension => "a PASSporT of an unknown extension",
            Refusal::OtherCertificateUrl => "info and x5u name different certificates",
            Refusal::CertificateUrlRefused => "the certificate's URL is not one to fetch from",
            Refusal::CertificateUnavailable => "the certificate could not be fetched",
            Refusal::CertificateUnreadable => "what was fetched is no certificate chain in PEM",
            Refusal::CertificateOutOfTime => "the certificate is expired or not valid yet",
            Refusal::CertificateUntrusted => "the certificate leads to no trust anchor",
            Refusal::CertificateUnfit => "the certificate is not one to sign calls with",
            Refusal::BadSignature => "the signature is not that of the certificate's key",
            Refusal::OtherOrigin => "signed for another caller",
            Refusal::OtherDestination => "signed for a call to another destination",
            Refusal::Stale => "issued too long ago or in the future",
        })
    }
}

impl std::error::Error for Refusal {}

/// What the called side learns about the number it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    Passed,
    Failed,
    /// Nothing to judge, or it could not be judged.
    NotValidated,
}

impl Verdict {
    /// Of one value. A call without any has `Verdict::NotValidated`; how far a passed one vouches is in its claims.
    pub fn of(result: &Result<Claims, Refusal>) -> Verdict {
        match result {
            Ok(_) => Verdict::Passed,
            Err(Refusal::UnknownExtension | Refusal::CertificateUnavailable) => {
                Verdict::NotValidated
            }
            Err(
                Refusal::Malformed
                | Refusal::CompactForm
                | Refusal::UnknownAlgorithm
                | Refusal::OtherCertificateUrl
                | Refusal::CertificateUrlRefused
                | Refusal::CertificateUnreadable
                | Refusal::CertificateOutOfTime
                | Refusal::CertificateUntrusted
                | Refusal::CertificateUnfit
                | Refusal::BadSignature
                | Refusal::OtherOrigin
                | Refusal::OtherDestination
                | Refusal::Stale,
            ) => Verdict::Failed,
        }
    }

    /// The value of `verstat`.
    pub fn verstat(self) -> &'static str {
        match self {
            Verdict::Passed => "TN-Validation-Passed",
            Verdict::Failed => "TN-Validation-Failed",
            Verdict::NotValidated => "No-TN-Validation",
        }
    }
}
