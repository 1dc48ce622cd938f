//! `/metrics`: what all parts tell, in one answer.
//!
//! Numbers live where they are counted. At each scrape every part writes what it has into a fresh
//! registry, so nothing is counted twice and nothing that is gone lingers.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use timeball_api::routes;

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The parts that tell numbers; clones share them.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<Vec<Part>>>);

type Part = Arc<dyn Fn(&mut Registry) + Send + Sync>;

impl Metrics {
    /// Makes an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part: at each scrape it registers its metrics, named `timeball_…`, with their values.
    pub fn add(&self, part: impl Fn(&mut Registry) + Send + Sync + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(part));
    }

    /// All metrics now, in the OpenMetrics text format.
    ///
    /// # Errors
    /// Where a metric refuses to be written.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut registry = Registry::default();
        for part in parts {
            part(&mut registry);
        }
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }

    /// The route `/metrics`.
    pub fn router(&self) -> Router {
        Router::new().route(routes::METRICS, get(scrape)).with_state(self.clone())
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("Metrics").field("parts", &parts).finish()
    }
}

async fn scrape(State(metrics): State<Metrics>) -> Response {
    match metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a metric could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::gauge::ConstGauge;
    use prometheus_client::registry::Unit;

    #[test]
    fn parts_are_joined_and_asked_anew_at_each_scrape() {
        let metrics = Metrics::new();
        let asked = Arc::new(Mutex::new(0_i64));
        metrics.add(move |registry| {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            registry.register("timeball_asked", "How often", ConstGauge::new(*asked));
        });
        metrics.add(|registry| {
            let gauge = ConstGauge::new(0.077_f64);
            registry.register_with_unit("timeball_off", "How much", Unit::Seconds, gauge);
        });
        assert!(metrics.render().unwrap().contains("timeball_asked 1\n"));
        let text = metrics.render().unwrap();
        assert!(text.contains("timeball_asked 2\n"), "{text}");
        assert!(text.contains("timeball_off_seconds 0.077\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
