//! Who calls, and what they may reach.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;
use tandem_domain::access::{ApiKey, Role};
use tandem_domain::catalogue::Registry;
use tandem_domain::identifier::VnoId;
use tandem_domain::party::{Carrier, Vno};
use tandem_http_api::{Problem, bearer, hash_key};
use tandem_platform::Platform;

/// A caller whose key is known.
#[derive(Clone, Debug)]
pub struct Caller {
    pub key: Arc<ApiKey>,
    pub registry: Arc<Registry>,
}

impl FromRequestParts<Platform> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, platform: &Platform) -> Result<Caller, Problem> {
        let registry = platform.registry();
        let key =
            bearer(&parts.headers).and_then(|key| registry.api_keys.get(&hash_key(key)).cloned());
        let key = key.ok_or_else(Problem::unauthenticated)?;
        if key.read_only && parts.method != Method::GET {
            return Err(Problem::forbidden());
        }
        Ok(Caller { key, registry })
    }
}

impl Caller {
    pub fn role(&self) -> Role {
        self.key.role
    }

    pub fn broker(&self) -> Result<(), Problem> {
        if self.role() == Role::Broker { Ok(()) } else { Err(Problem::forbidden()) }
    }

    /// The VNO that a path names, if the caller may reach it.
    pub fn vno(&self, slug: &str) -> Result<&Vno, Problem> {
        let found = self.registry.vno_by_slug(slug);
        let visible = found.filter(|vno| match self.role() {
            Role::Broker => true,
            Role::Vno(own) => own == vno.id,
            Role::Carrier(_) | Role::ContentProvider(_) => false,
        });
        visible.ok_or_else(|| Problem::not_found("VNO"))
    }

    /// The carrier that a path names, if the caller may reach it.
    pub fn carrier(&self, slug: &str) -> Result<&Carrier, Problem> {
        let found = self.registry.carrier_by_slug(slug);
        let visible = found.filter(|carrier| match self.role() {
            Role::Broker => true,
            Role::Carrier(own) => own == carrier.id,
            Role::Vno(_) | Role::ContentProvider(_) => false,
        });
        visible.ok_or_else(|| Problem::not_found("carrier"))
    }

    pub fn vno_id(&self, slug: &str) -> Result<VnoId, Problem> {
        self.vno(slug).map(|vno| vno.id)
    }
}
