//! Certificates fetched before, and the fetches that failed: no call waits for what another has asked already.

use std::collections::HashMap;
use std::sync::Arc;

use crate::certificate::PEM_LENGTH_MAX;
use crate::certificate_url::CertificateUrl;

/// What is known of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cached {
    Pem(Arc<[u8]>),
    /// It could not be fetched a moment ago: [`crate::Refusal::CertificateUnavailable`].
    Failed,
    Unknown,
}

/// Full, it forgets failures before certificates and the oldest of each first: invented URLs push out no
/// certificate that is in use.
#[derive(Clone, Debug)]
pub struct CertificateCache {
    entries: HashMap<String, Entry>,
    entries_max: usize,
    stored: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    /// None: the fetch failed.
    pem: Option<Arc<[u8]>>,
    expires_at_seconds: u64,
    /// Its place among all that were ever stored.
    order: u64,
}

impl CertificateCache {
    pub const ENTRIES_MAX: usize = 256;
    pub const FAILURE_SECONDS: u64 = 60;
    /// However long the server allows: certificates are replaced and revoked.
    pub const AGE_SECONDS_MAX: u64 = 24 * 3600;

    pub fn new(entries_max: usize) -> CertificateCache {
        CertificateCache { entries: HashMap::new(), entries_max, stored: 0 }
    }

    pub fn get(&self, url: &CertificateUrl, now_seconds: u64) -> Cached {
        match self.entries.get(url.as_str()) {
            Some(entry) if entry.expires_at_seconds > now_seconds => {
                entry.pem.clone().map_or(Cached::Failed, Cached::Pem)
            }
            Some(_) | None => Cached::Unknown,
        }
    }

    /// `max_age_seconds`: of the answer's Cache-Control. More than a chain of certificates needs counts as a failure.
    pub fn put(
        &mut self,
        url: &CertificateUrl,
        pem: &[u8],
        now_seconds: u64,
        max_age_seconds: u64,
    ) {
        if pem.len() > PEM_LENGTH_MAX {
            return self.put_failure(url, now_seconds);
        }
        let age = max_age_seconds.min(Self::AGE_SECONDS_MAX);
        self.store(url, Some(pem.into()), now_seconds, age);
    }

    /// A certificate that is still good stays.
    pub fn put_failure(&mut self, url: &CertificateUrl, now_seconds: u64) {
        if !matches!(self.get(url, now_seconds), Cached::Pem(_)) {
            self.store(url, None, now_seconds, Self::FAILURE_SECONDS);
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn store(&mut self, url: &CertificateUrl, pem: Option<Arc<[u8]>>, now: u64, age: u64) {
        self.entries.remove(url.as_str());
        if self.entries.len() >= self.entries_max {
            self.entries.retain(|_, entry| entry.expires_at_seconds > now);
        }
        if self.entries.len() >= self.entries_max {
            let least = self.entries.iter().min_by_key(|(_, one)| (one.pem.is_some(), one.order));
            if let Some(url) = least.map(|(url, _)| url.clone()) {
                self.entries.remove(&url);
            }
        }
        let entry = Entry { pem, expires_at_seconds: now.saturating_add(age), order: self.stored };
        self.stored += 1;
        if self.entries_max > 0 {
            self.entries.insert(url.as_str().to_owned(), entry);
        }
    }
}

impl Default for CertificateCache {
    fn default() -> CertificateCache {
        CertificateCache::new(Self::ENTRIES_MAX)
    }
}
