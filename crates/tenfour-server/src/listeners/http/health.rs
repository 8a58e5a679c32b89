//! Is the server well?

use axum::extract::Extension;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::visitor::Visitor;

/// Whether the store works
#[utoipa::path(
    get,
    path = "/healthz",
    responses((status = 200, content_type = "text/plain", body = String, example = "ok"), (status = 500)),
)]
pub(super) async fn health(Extension(visitor): Extension<Visitor>) -> Response {
    if !visitor.context.broker.is_well() {
        return Problem::store_failed().into_response();
    }
    "ok\n".into_response()
}
