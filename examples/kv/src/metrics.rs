//! Metrics in Prometheus' text form, over the smallest of HTTP servers: whatever is asked, this is the answer.

use crate::door::Door;
use crate::host::Picture;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn text(picture: &Picture, door: &Door) -> String {
    let mut registry = Registry::with_prefix("logothete");
    let mut set = |name: &str, help: &str, value: u64| {
        let gauge: Gauge = Gauge::default();
        gauge.set(number(value));
        registry.register(name, help, gauge);
    };
    let (nodes, clients) = door.count();
    set("nodes_reached", "Nodes that this one has a connection to, itself among them", picture.reached as u64);
    set("node_connections", "Connections that other nodes have made", nodes as u64);
    set("client_connections", "Connections that clients have made", clients as u64);
    set("messages_verified", "Messages that were verified", picture.verified);
    set("messages_refused", "Messages that failed verification", picture.refused);
    set("messages_screened", "Messages that were not needed", picture.screened);
    set("syncs", "Times that records were made durable", picture.syncs);
    set("commits", "Durable commits of the database", picture.commits);
    set("requests_executed", "Requests in decided batches", picture.decided_requests);
    set("views_entered", "Views entered since the start", picture.view_changes);
    set("evidence", "Replicas that were proved to lie", picture.evidence);
    set("busy", "Requests not taken since too many wait", picture.busy);
    if let Some(status) = &picture.status {
        set("view", "The view", status.view.get());
        set("view_normal", "1 while it takes part in its view", u64::from(status.normal));
        set("primary", "The view's primary", u64::from(status.primary.get()));
        set("decided", "The end of the decided log", status.decided.get());
        set("executed", "The last executed position", status.executed.get());
        set("stable", "The last stable checkpoint", status.stable.get());
        set("head", "The last accepted position", status.head.get());
        set("rejoining", "1 while it is silent after a lost log", u64::from(status.rejoining));
        set("diverged", "1 while its state is not the quorum's", u64::from(status.diverged.is_some()));
        set("pool_requests", "Requests that wait to be ordered", status.pool_requests as u64);
        set("blocks", "Blocks held", status.blocks as u64);
        set("backoff", "How often the timeout is doubled", u64::from(status.backoff));
        let (bytes, limits) = (Family::<Vec<(String, String)>, Gauge>::default(), Family::<Vec<(String, String)>, Gauge>::default());
        for (name, part) in status.usage.entries() {
            let label = vec![("buffer".to_owned(), name.to_owned())];
            bytes.get_or_create(&label).set(number(part.bytes));
            limits.get_or_create(&label).set(number(part.limit));
        }
        registry.register("buffer_bytes", "Bytes in use of each buffer", bytes);
        registry.register("buffer_limit_bytes", "Bytes that each buffer may have", limits);
    }
    let mut text = String::new();
    // Writing to memory can't fail.
    let _ = encode(&mut text, &registry);
    text
}

/// Answers, for ever.
pub async fn serve(listener: TcpListener, picture: Arc<Mutex<Picture>>, door: Arc<Door>) {
    let turns = Arc::new(Semaphore::new(8));
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(turn) = turns.clone().try_acquire_owned() else { continue };
        let body = text(&picture.lock().unwrap_or_else(PoisonError::into_inner).clone(), &door);
        tokio::spawn(async move {
            let _turn = turn;
            let answer = async {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await?;
                let head =
                    "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\nConnection: close";
                stream.write_all(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
                stream.shutdown().await
            };
            // Whoever asks and doesn't listen gets nothing.
            let _ = timeout(Duration::from_secs(5), answer).await;
        });
    }
}
