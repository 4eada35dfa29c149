//! Where a certificate may be fetched from (RFC 8224 section 7.3): the URL comes from a stranger.
//!
//! Only the text is judged. The shell that fetches still has to refuse names that resolve to addresses of its own
//! network, and redirects.

/// `https`, a public host name, port 443 or 8443, no user and no fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateUrl {
    text: String,
    host_end: usize,
    port: u16,
}

const SCHEME: &str = "https://";
/// Names that are never public (RFC 6761, 6762, ICANN's for private use).
const PRIVATE_DOMAINS: [&str; 3] = ["localhost", "local", "internal"];

impl CertificateUrl {
    pub const LENGTH_MAX: usize = 2048;

    pub fn parse(text: &str) -> Option<CertificateUrl> {
        let is_plain = text.bytes().all(|octet| {
            octet.is_ascii_graphic() && !matches!(octet, b'<' | b'>' | b'"' | b'\\' | b'#')
        });
        if !is_plain || text.len() > Self::LENGTH_MAX {
            return None;
        }
        let (scheme, rest) = text.split_at_checked(SCHEME.len())?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return None;
        }
        let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
        let (host, port) = match authority.split_once(':') {
            None => (authority, 443),
            Some((host, "443")) => (host, 443),
            Some((host, "8443")) => (host, 8443),
            Some(_) => return None,
        };
        is_public_name(host).then(|| CertificateUrl {
            text: text.to_owned(),
            host_end: SCHEME.len() + host.len(),
            port,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn host(&self) -> &str {
        &self.text[SCHEME.len()..self.host_end]
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Two labels or more. The last begins with a letter, which no way of writing an IP address does.
fn is_public_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let Some((_, last)) = host.rsplit_once('.') else { return false };
    host.len() <= 253
        && host.split('.').all(is_label)
        && last.starts_with(|sign: char| sign.is_ascii_alphabetic())
        && !PRIVATE_DOMAINS.iter().any(|domain| last.eq_ignore_ascii_case(domain))
}
