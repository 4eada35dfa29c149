//! Subscribers, lines, accounts, offers and subscriptions.

mod accounts;
mod lines;
mod offers;
mod subscribers;
mod subscriptions;

use tandem_platform::Platform;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<Platform> {
    OpenApiRouter::new()
        .routes(routes!(subscribers::create, subscribers::list))
        .routes(routes!(subscribers::read, subscribers::change))
        .routes(routes!(lines::add))
        .routes(routes!(lines::change))
        .routes(routes!(accounts::open))
        .routes(routes!(accounts::read, accounts::change))
        .routes(routes!(offers::publish, offers::list))
        .routes(routes!(offers::withdraw))
        .routes(routes!(subscriptions::subscribe))
        .routes(routes!(subscriptions::cancel))
}
