//! Who gets what of a sale, and what providers are owed.

mod agreements;
mod sales;
mod sponsorships;
mod statements;

use tandem_platform::Platform;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn router() -> OpenApiRouter<Platform> {
    OpenApiRouter::new()
        .routes(routes!(agreements::set, agreements::end))
        .routes(routes!(agreements::list))
        .routes(routes!(sponsorships::create, sponsorships::list))
        .routes(routes!(sponsorships::end))
        .routes(routes!(sales::list))
        .routes(routes!(statements::remittance))
        .routes(routes!(statements::of_vno))
}
