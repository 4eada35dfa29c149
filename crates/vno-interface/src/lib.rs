//! What VNOs build their brand on, and what the broker's staff administer: the HTTP APIs.
//!
//! `common_service_platform/`: subscribers, lines, accounts, offers, subscriptions. `billing/`: money, sessions,
//! usage, postings. `circuit_switch_control/`: calls and their rules. `content/`: what subscribers may buy from
//! others. `broker/`: parties, prices, keys, audit. A VNO's key reaches its own VNO only; whatever belongs to another
//! looks as if it did not exist.

mod billing;
mod broker;
mod circuit_switch_control;
mod common_service_platform;
mod content;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use tandem_http_api::Problem;
use tandem_platform::{Platform, Readiness};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

#[derive(OpenApi)]
#[openapi(
    info(title = "Tandem", description = "Network broker: common service platform, billing and administration."),
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

/// All resources, with `/openapi.json`, a reader of it, and the probes.
pub fn router(platform: Platform) -> Router {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .merge(broker::router())
        .merge(common_service_platform::router())
        .merge(billing::router())
        .merge(circuit_switch_control::router())
        .merge(content::router())
        .split_for_parts();
    let text = document.to_pretty_json().unwrap_or_default();
    router
        .route(
            "/openapi.json",
            get(move || async move { ([(header::CONTENT_TYPE, "application/json")], text) }),
        )
        .route("/docs", get(|| async { Html(include_str!("docs.html")) }))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(platform)
}

async fn ready(State(platform): State<Platform>) -> impl IntoResponse {
    match platform.readiness() {
        Readiness::Ready => (StatusCode::OK, "ready\n").into_response(),
        Readiness::NotReady(reason) => Problem::unavailable(reason).into_response(),
    }
}

async fn metrics(State(platform): State<Platform>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], platform.metrics())
}
