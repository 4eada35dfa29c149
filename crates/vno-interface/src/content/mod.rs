//! Content, from the VNO's side: who may sell what to its subscribers, and what each of them bought.

mod lines;
mod purchases;
mod rules;

use tandem_platform::Platform;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<Platform> {
    OpenApiRouter::new()
        .routes(routes!(rules::put, rules::read))
        .routes(routes!(rules::items))
        .routes(routes!(lines::put, lines::read))
        .routes(routes!(lines::consent))
        .routes(routes!(purchases::buy, purchases::list))
        .routes(routes!(purchases::subscribe, purchases::subscriptions))
        .routes(routes!(purchases::cancel))
        .routes(routes!(purchases::bill))
}
