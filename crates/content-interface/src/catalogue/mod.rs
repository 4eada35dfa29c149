//! What providers publish, and the clients that sell for them.

mod clients;
mod items;

use tandem_domain::access::Role;
use tandem_domain::party::ContentProvider;
use tandem_http_access::Caller;
use tandem_http_api::Problem;
use tandem_platform::Platform;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn router() -> OpenApiRouter<Platform> {
    OpenApiRouter::new()
        .routes(routes!(items::publish, items::list))
        .routes(routes!(items::withdraw))
        .routes(routes!(clients::set, clients::list))
}

/// The provider that a path names, if the caller may reach it.
pub(crate) fn provider<'a>(caller: &'a Caller, slug: &str) -> Result<&'a ContentProvider, Problem> {
    let found = caller.registry.content_provider_by_slug(slug);
    let visible = found.filter(|provider| match caller.role() {
        Role::Broker => true,
        Role::ContentProvider(own) => own == provider.id,
        Role::Vno(_) | Role::Carrier(_) => false,
    });
    visible.ok_or_else(|| Problem::not_found("content provider"))
}
