//! The broker's own administration: parties, prices, keys, proof.

mod api_keys;
mod audit;
mod carriers;
mod content_providers;
mod exchange_rates;
mod portability;
mod price_lists;
mod trunks;
mod vnos;
mod wholesale;

use tandem_platform::Platform;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<Platform> {
    OpenApiRouter::new()
        .routes(routes!(vnos::create, vnos::list))
        .routes(routes!(vnos::read, vnos::change))
        .routes(routes!(vnos::deposit))
        .routes(routes!(wholesale::charge))
        .routes(routes!(vnos::balance))
        .routes(routes!(carriers::create, carriers::list))
        .routes(routes!(carriers::change))
        .routes(routes!(carriers::put_peer))
        .routes(routes!(carriers::list_peers))
        .routes(routes!(trunks::put))
        .routes(routes!(trunks::list))
        .routes(routes!(content_providers::create, content_providers::list))
        .routes(routes!(content_providers::change))
        .routes(routes!(api_keys::issue, api_keys::list))
        .routes(routes!(api_keys::revoke))
        .routes(routes!(price_lists::put_deck))
        .routes(routes!(price_lists::put_wholesale))
        .routes(routes!(price_lists::put_retail))
        .routes(routes!(price_lists::list))
        .routes(routes!(exchange_rates::put))
        .routes(routes!(portability::put))
        .routes(routes!(portability::look_up))
        .routes(routes!(audit::run))
        .layer(axum::extract::DefaultBodyLimit::max(price_lists::DECK_BYTES_MAX))
}
