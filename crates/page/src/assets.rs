//! The page's files, built into the binary, and the document of the API.

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use timeball_api::routes;

/// The routes of all files.
pub(crate) fn router() -> Router {
    ASSETS.iter().fold(Router::new(), |router, asset| {
        let etag = HeaderValue::try_from(etag(asset.octets)).expect("hexadecimal in quotes");
        router.route(
            asset.path,
            get(move |headers: HeaderMap| {
                let response = respond(asset, &etag, &headers);
                async { response }
            }),
        )
    })
}

/// One file of the page.
struct Asset {
    /// Path under which it is served.
    path: &'static str,
    /// Its `Content-Type`.
    media_type: &'static str,
    octets: &'static [u8],
}

macro_rules! assets {
    ($($path:expr => $media_type:ident $file:literal,)*) => {
        &[$(Asset {
            path: $path,
            media_type: $media_type,
            octets: include_bytes!(concat!("../assets/", $file)),
        },)*]
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

const ASSETS: &[Asset] = assets! {
    "/" => HTML "index.html",
    routes::OPENAPI => JSON "../../../docs/schemas/openapi.json",
    "/icon.svg" => SVG "icon.svg",
    "/css/base.css" => CSS "css/base.css",
    "/css/chart.css" => CSS "css/chart.css",
    "/css/headline.css" => CSS "css/headline.css",
    "/css/schedules.css" => CSS "css/schedules.css",
    "/css/sources.css" => CSS "css/sources.css",
    "/js/appearance.js" => JS "js/appearance.js",
    "/js/certain.js" => JS "js/certain.js",
    "/js/chart.js" => JS "js/chart.js",
    "/js/chart-options.js" => JS "js/chart-options.js",
    "/js/control.js" => JS "js/control.js",
    "/js/details.js" => JS "js/details.js",
    "/js/dom.js" => JS "js/dom.js",
    "/js/format.js" => JS "js/format.js",
    "/js/headline.js" => JS "js/headline.js",
    "/js/histogram.js" => JS "js/histogram.js",
    "/js/history.js" => JS "js/history.js",
    "/js/instants.js" => JS "js/instants.js",
    "/js/language.js" => JS "js/language.js",
    "/js/main.js" => JS "js/main.js",
    "/js/notices.js" => JS "js/notices.js",
    "/js/scale.js" => JS "js/scale.js",
    "/js/schedules.js" => JS "js/schedules.js",
    "/js/sources.js" => JS "js/sources.js",
    "/js/stream.js" => JS "js/stream.js",
    "/js/theme.js" => JS "js/theme.js",
    "/js/timeball.js" => JS "js/timeball.js",
    "/js/timeline.js" => JS "js/timeline.js",
    "/js/strings/en.js" => JS "js/strings/en.js",
    "/js/strings/ja.js" => JS "js/strings/ja.js",
    "/js/strings/zh.js" => JS "js/strings/zh.js",
    "/vendor/uplot/LICENSE" => TEXT "vendor/uplot/LICENSE",
    "/vendor/uplot/uPlot.iife.min.js" => JS "vendor/uplot/uPlot.iife.min.js",
    "/vendor/uplot/uPlot.min.css" => CSS "vendor/uplot/uPlot.min.css",
};

fn respond(asset: &Asset, etag: &HeaderValue, request: &HeaderMap) -> Response {
    // The next start may be another version, so a browser asks each time; the tag makes that cheap.
    let fresh = [
        (header::ETAG, etag.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    let known = request.get_all(header::IF_NONE_MATCH).iter().any(|tags| lists(tags, etag));
    if known {
        return (StatusCode::NOT_MODIFIED, fresh).into_response();
    }
    let media_type = [(header::CONTENT_TYPE, asset.media_type)];
    (fresh, media_type, asset.octets).into_response()
}

/// Whether an `If-None-Match` names `etag` (RFC 9110 section 13.1.2: the weak comparison).
fn lists(tags: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(tags), Ok(etag)) = (tags.to_str(), etag.to_str()) else { return false };
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// A tag that changes with the content: FNV-1a, 64 bits. It tells versions of our own files apart
/// and guards nothing.
fn etag(octets: &[u8]) -> String {
    let hash = octets.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("\"{hash:016x}\"")
}
