//! Numbers for Prometheus.

use crate::Scheduler;
use crate::lateness::Histogram;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;

impl Scheduler {
    /// Registers what the scheduler counts, as of now; to be called at each scrape.
    pub fn metrics(&self, registry: &mut Registry) {
        let totals = self.totals();
        let gauge = |n: u64| ConstGauge::new(i64::try_from(n).unwrap_or(i64::MAX));
        registry.register("timeball_schedules", "Schedules", gauge(totals.schedules));
        registry.register(
            "timeball_fires_running",
            "Fires whose target runs",
            gauge(totals.running),
        );
        registry.register(
            "timeball_schedule_problems",
            "Schedule files and stores that are wrong",
            gauge(totals.problems),
        );
        registry.register(
            "timeball_schedules_paused",
            "Schedules that rest until they are resumed",
            gauge(totals.paused),
        );
        if let Some(next) = totals.next {
            let seconds = ConstGauge::new(next.as_unix_nanos() as f64 / 1e9);
            let name = "timeball_schedule_next";
            registry.register_with_unit(name, "The next instant", Unit::Seconds, seconds);
        }
        let ledger = totals.ledger;
        for (name, help, count) in [
            ("timeball_claims", "Fires claimed durably", ledger.claims),
            ("timeball_store_commits", "Commits of the store", ledger.commits),
            ("timeball_store_commit_failures", "Commits that failed", ledger.commits_failed),
        ] {
            registry.register(name, help, ConstCounter::new(count));
        }
        let tally = totals.tally;
        registry.register_collector(Box::new(Outcomes([
            ("fired", tally.fired),
            ("missed", tally.missed),
            ("skipped", tally.skipped),
            ("failed", tally.failed),
            ("unknown", tally.unknown),
        ])));
        registry.register_collector(Box::new(Reasons(totals.outcomes)));
        registry.register_with_unit(
            "timeball_fire_lateness",
            "Actual release less scheduled instant",
            Unit::Seconds,
            LatenessMetric(totals.lateness),
        );
    }
}

#[derive(Debug)]
struct Outcomes([(&'static str, u64); 5]);

impl Collector for Outcomes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Instants by their outcome";
        let mut family =
            encoder.encode_descriptor("timeball_fires", help, None, MetricType::Counter)?;
        for (outcome, count) in self.0 {
            let labels = [("outcome", outcome)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Reasons(crate::board::Outcomes);

impl Collector for Reasons {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Outcomes by what made the fire happen, and by reason";
        let mut family =
            encoder.encode_descriptor("timeball_outcomes", help, None, MetricType::Counter)?;
        for ((trigger, outcome, reason), count) in &self.0 {
            let labels = [("trigger", *trigger), ("outcome", *outcome), ("reason", *reason)];
            ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct LatenessMetric(Histogram);

impl EncodeMetric for LatenessMetric {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let Self(histogram) = self;
        let buckets = histogram.buckets_s();
        encoder.encode_histogram::<NoLabelSet>(histogram.sum_s(), histogram.count(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
