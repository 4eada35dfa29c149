//! Money in, sessions now, usage records, transfers and postings.

mod postings;
mod sessions;
mod top_ups;
mod usage_records;

use tandem_platform::Platform;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<Platform> {
    OpenApiRouter::new()
        .routes(routes!(top_ups::top_up))
        .routes(routes!(top_ups::adjust))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::end))
        .routes(routes!(usage_records::of_vno))
        .routes(routes!(usage_records::of_carrier))
        .routes(routes!(postings::list))
        .routes(routes!(postings::transfers))
}
