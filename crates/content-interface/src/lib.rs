//! The content provider interface: others sell to the VNOs' subscribers through the broker.
//!
//! `carrier_billing/`: payments and refunds (CAMARA Carrier Billing 0.5, Refund 0.3). `oauth/`: who may ask, for
//! which line. `network_facts/`: what the broker knows of a line (CAMARA SIM Swap, Device Data Volume, Device
//! Roaming Status). `catalogue/` and `revenue_share/`: what providers publish, and what they are owed.
//! `notifications`: what is told to clients' sinks and to VNOs.

mod carrier_billing;
mod catalogue;
mod context;
mod correlator;
mod error;
mod network_facts;
mod notifications;
mod oauth;
mod revenue_share;
mod sink;

pub use context::{ContentOptions, StartError};

use axum::Router;
use axum::http::header;
use axum::middleware;
use axum::routing::get;
use tandem_platform::Platform;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

use context::Content;

#[derive(OpenApi)]
#[openapi(
    info(title = "Tandem: content", description = "Catalogue, clients, agreements, sales and remittances. Payments, refunds and network facts follow the CAMARA files."),
    modifiers(&Keys),
    security(("key" = []))
)]
struct Document;

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer =
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        document.components.get_or_insert_default().add_security_scheme("key", bearer);
    }
}

/// All resources of the interface; begins to deliver what waits for parties outside.
pub async fn router(platform: Platform, options: ContentOptions) -> Result<Router, StartError> {
    let (managed, document) = OpenApiRouter::with_openapi(Document::openapi())
        .merge(catalogue::router())
        .merge(revenue_share::router())
        .split_for_parts();
    let text = document.to_pretty_json().unwrap_or_default();
    let content = Content::start(platform.clone(), options).await?;
    let camara = carrier_billing::router()
        .merge(network_facts::router())
        .layer(middleware::from_fn(correlator::correlate))
        .with_state(content.clone());
    Ok(managed
        .route(
            "/content/openapi.json",
            get(move || async move { ([(header::CONTENT_TYPE, "application/json")], text) }),
        )
        .with_state(platform)
        .merge(camara)
        .merge(oauth::router().with_state(content)))
}
