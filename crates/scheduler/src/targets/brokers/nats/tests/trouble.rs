//! Servers that do not answer, and others that do.

use super::*;

#[test]
fn a_server_that_says_nothing_any_more_is_connected_to_anew() {
    let (port, heard) = server(INFO, |published, stream| {
        let taken = reply(published, stream, ACKNOWLEDGED);
        if published.connection == 0 {
            std::thread::sleep(2 * PATIENCE);
        }
        taken
    });
    let house = House::new();
    let patient = form(port, "").replace("timeoutSeconds: 2", "timeoutSeconds: 15");
    for second in 0..2 {
        // The second one finds that nobody answers before anything of it has left.
        let end = house.fire(second, &patient);
        assert_eq!((end.outcome, end.message.as_str()), (Outcome::Fired, ""));
        let published = heard.recv_timeout(PATIENCE).unwrap();
        assert_eq!(published.connection, usize::try_from(second).unwrap());
    }
}

#[test]
fn what_others_answer_who_listen_to_the_subject_is_waited_out() {
    let (port, heard) = server(INFO, |published, stream| {
        reply(published, stream, "hello")
            && reply(published, stream, &"x".repeat(300_000))
            && reply(published, stream, ACKNOWLEDGED)
    });
    let house = House::new();
    for second in 0..2 {
        let end = house.fire(second, &form(port, ""));
        assert_eq!((end.outcome, end.message.as_str()), (Outcome::Fired, ""));
        assert_eq!(heard.recv_timeout(PATIENCE).unwrap().connection, 0);
    }
}

#[test]
fn a_server_that_does_not_let_us_in_in_time_has_got_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let house = House::new();
    // So far away that nothing is made ready.
    house.prepare_in(0, Span::from_secs(60), &form(port, ""))();
    let end = house.end();
    assert_eq!(end.outcome, Outcome::Failed(Reason::Unreachable));
    let said =
        format!("nats://127.0.0.1:{port} was not reached within 2 s, so this try sent nothing");
    assert_eq!(end.message, said);
}

#[test]
fn fires_that_wait_for_the_same_connection_share_its_failure_and_are_told_no_names_of_files() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            count.fetch_add(1, Ordering::Relaxed);
            // Long enough for all to ask.
            std::thread::sleep(Duration::from_millis(300));
            let _ = stream.unwrap().write_all(b"-ERR 'Authorization Violation'\r\n");
        }
    });
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&token, "hush").unwrap();
    let auth = format!(", auth: {{ tokenFile: '{}' }}", token.path().display());
    let house = House::new();
    let due_in = Span::from_secs(60);
    let prepare = |second| house.prepare_in(second, due_in, &form(port, &auth));
    let releases: Vec<Release> = (0..20).map(prepare).collect();
    releases.into_iter().for_each(|release| release());
    for _ in 0..20 {
        let end = house.end();
        let said = format!("nats://127.0.0.1:{port} cannot be reached: Authorization Violation");
        assert_eq!((end.outcome, end.message), (Outcome::Failed(Reason::Unreachable), said));
    }
    let accepted = accepted.load(Ordering::Relaxed);
    assert!(accepted < 5, "{accepted} connections for 20 fires");
}
