//! `nats_ask answer PORT`: answers with what it was asked, prints `ready`, until stdin ends.
//! `nats_ask ask PORT SECONDS`: asks.

use futures_util::StreamExt;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["answer", port] => answer(port).await,
        ["ask", port, seconds] => ask(port, seconds).await,
        _ => Err("usage: nats_ask answer PORT, or nats_ask ask PORT SECONDS".into()),
    }
}

async fn answer(port: &str) -> Result<(), Failure> {
    let client = async_nats::connect(format!("127.0.0.1:{port}")).await?;
    let mut questions = client.subscribe("questions").await?;
    client.flush().await?;
    println!("ready");
    let answering = async {
        while let Some(question) = questions.next().await {
            if let Some(reply) = question.reply {
                client.publish(reply, question.payload).await.expect("published");
            }
        }
    };
    let mut end = Vec::new();
    let mut stdin = tokio::io::stdin();
    tokio::select! {
        () = answering => {}
        _ = tokio::io::AsyncReadExt::read_to_end(&mut stdin, &mut end) => {}
    }
    Ok(())
}

async fn ask(port: &str, seconds: &str) -> Result<(), Failure> {
    let client = async_nats::connect(format!("127.0.0.1:{port}")).await?;
    let times = bench_ask::ask(bench_ask::seconds(seconds), async || {
        let reply = client
            .request("questions", "what time is it over there?".into())
            .await
            .expect("a reply");
        assert_eq!(&reply.payload[..], b"what time is it over there?");
    })
    .await;
    bench_ask::report(times);
    Ok(())
}
