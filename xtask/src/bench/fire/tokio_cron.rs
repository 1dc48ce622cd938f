//! tokio-cron-scheduler every second: prints how late each fire is, in nanoseconds.

use std::time::{SystemTime, UNIX_EPOCH};
use tokio_cron_scheduler::{Job, JobScheduler};

const SECOND: i64 = 1_000_000_000;

#[tokio::main]
async fn main() {
    let scheduler = JobScheduler::new().await.expect("it starts");
    let fire = Job::new("* * * * * *", |_, _| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let late = (i64::from(now.subsec_nanos()) + SECOND / 2) % SECOND - SECOND / 2;
        println!("{late}");
    });
    scheduler.add(fire.expect("the expression is one")).await.expect("it takes the job");
    scheduler.start().await.expect("it runs");
    std::future::pending::<()>().await;
}
