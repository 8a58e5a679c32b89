//! `/v1/openapi.json`: this interface for programs, made from what stands at each handler.

use std::sync::OnceLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{events, health, metrics, post, problem, read};
use crate::record::Record;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "tenfour",
        description = "Send a message, and know that it arrived: 201 means that it is stored.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    paths(
        post::to_messages,
        read::messages,
        read::message,
        events::follow,
        metrics::status,
        metrics::metrics,
        health::health,
    ),
    components(schemas(Record, problem::Body)),
    modifiers(&Tokens),
)]
struct Document;

struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "Made by `tenfour keys token NAME send=... read=...` on the server.",
            ))
            .build();
        if let Some(components) = &mut document.components {
            components.add_security_scheme("token", SecurityScheme::Http(scheme));
        }
    }
}

/// `GET /v1/openapi.json`
pub(super) async fn document() -> Response {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    let document = DOCUMENT.get_or_init(|| Document::openapi().to_pretty_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], document.as_str()).into_response()
}
