//! Circuit switch control: who may call where, over whom, for how long; and the calls that run now.

mod calls;
mod lines;
mod rules;

use tandem_platform::Platform;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<Platform> {
    OpenApiRouter::new()
        .routes(routes!(lines::put, lines::read))
        .routes(routes!(rules::put, rules::read))
        .routes(routes!(calls::list, calls::place))
        .routes(routes!(calls::end))
        .routes(routes!(calls::stream))
}
