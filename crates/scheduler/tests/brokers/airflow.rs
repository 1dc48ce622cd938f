//! Airflow: the example that starts runs of a DAG by its REST API.

use crate::house::{House, wait_for};
use crate::servers::{Server, free_port, peer};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Airflow with the example's DAG, its programs beside its interpreter.
fn start() -> Option<Server> {
    let programs = peer("airflow/bin/airflow")?.parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap_or_default();
    Some(Server::start(move |home, port| {
        let dags = home.join("dags");
        fs::create_dir_all(&dags).unwrap();
        fs::copy(example("flush_dag.py"), dags.join("flush_dag.py")).unwrap();
        let mut command = Command::new(programs.join("airflow"));
        command.arg("standalone").env("AIRFLOW_HOME", home).current_dir(home);
        command.env("PATH", format!("{}:{path}", programs.display()));
        command.env("AIRFLOW__CORE__LOAD_EXAMPLES", "False");
        command.env("AIRFLOW__API__HOST", "127.0.0.1").env("AIRFLOW__API__PORT", port.to_string());
        command.env("AIRFLOW__API__WORKERS", "1").env("AIRFLOW__CORE__PARALLELISM", "1");
        let executions = format!("http://127.0.0.1:{port}/execution/");
        command.env("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", executions);
        // Its own default is a fixed port that others may have.
        command.env("AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT", free_port().to_string());
        command.env("AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT", free_port().to_string());
        command.env("FLUSH_LOG", home.join("flush.log"));
        vec![command]
    }))
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/airflow").join(name)
}

/// One request; the status and the answer in JSON. `None` where nobody answers (yet).
fn ask(port: u16, method: &str, path: &str, token: &str, body: &Value) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).unwrap_or_default()))
}

fn token(server: &Server) -> String {
    wait_for("a token", || {
        let file = server.home.path().join("simple_auth_manager_passwords.json.generated");
        let passwords: Value = serde_json::from_str(&fs::read_to_string(file).ok()?).ok()?;
        let who = json!({ "username": "admin", "password": passwords["admin"] });
        let (_, answer) = ask(server.port, "POST", "/auth/token", "", &who)?;
        answer["access_token"].as_str().map(str::to_owned)
    })
}

#[test]
fn each_fire_is_one_run_of_the_dag_under_its_key() {
    let Some(server) = start() else { return };
    let token = token(&server);
    let get = |path: &str| ask(server.port, "GET", path, &token, &Value::Null);
    wait_for("the DAG is known", || get("/api/v2/dags/flush").filter(|(status, _)| *status == 200));
    let secret = server.home.path().join("token");
    fs::write(&secret, &token).unwrap();
    let text = fs::read_to_string(example("flush.yaml")).unwrap();
    let text = text.replace("127.0.0.1:8080", &format!("127.0.0.1:{}", server.port));
    let text = text.replace("/run/secrets/airflow-token", secret.to_str().unwrap());
    let house = House::with_file(&text);
    house.wait("fires", |schedule| schedule.counts.fired >= 2);
    let fired = house.stop().counts.fired;
    let (_, runs) = get("/api/v2/dags/flush/dagRuns?limit=100").unwrap();
    let runs = runs["dag_runs"].as_array().unwrap();
    let ids: HashSet<&str> = runs.iter().map(|run| run["dag_run_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), runs.len());
    // A fire that was stopped on its way may have arrived all the same.
    assert!(ids.len() as u64 >= fired, "{fired} fired, {runs:?}");
    let first = &runs[0];
    let at = first["conf"]["at"].as_str().unwrap();
    assert!(at.ends_with('Z') && first["dag_run_id"].as_str().unwrap().contains('.'), "{first}");
    // Airflow's own workers take their time.
    let log = server.home.path().join("flush.log");
    let ran = wait_for("a task has run", || {
        fs::read_to_string(&log).ok().filter(|text| text.ends_with('\n'))
    });
    assert!(ran.lines().all(|line| ids.contains(line.split(' ').next().unwrap())), "{ran}");
    // The same key again is a conflict, which the example takes for done.
    let again = json!({ "dag_run_id": first["dag_run_id"], "logical_date": null, "conf": {} });
    let path = "/api/v2/dags/flush/dagRuns";
    assert_eq!(ask(server.port, "POST", path, &token, &again).unwrap().0, 409);
}
