//! Reads N records of a stream by asking: each get waits on the node until there are records.
//!
//! ```text
//! cargo run --example consumer_get -- 127.0.0.1:4566 orders 1000
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use millstream::client::{Client, ClientOptions, ConsumerOptions, Mode, Start};
use millstream::runtime::tokio::block_on;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(addr), Some(stream), Some(count)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: consumer_get ADDRESS STREAM RECORDS".into());
    };
    let (addr, count): (SocketAddr, u64) = (addr.parse()?, count.parse()?);

    block_on(async |rt| -> Result<(), Box<dyn Error>> {
        let client = Client::connect(rt, addr, ClientOptions::default()).await?;
        // Shorter waits than the default, and small answers: an ordinary consumer keeps the defaults.
        let options = ConsumerOptions {
            mode: Mode::Get,
            wait: Duration::from_secs(5),
            bytes_max: 256 << 10,
            ..ConsumerOptions::default()
        };
        // All shards of the stream as one row. For a single one: `client.consumer(stream, shard, start, options)`.
        let mut records = client.merged(&stream, Start::Horizon, options).await?;
        for _ in 0..count {
            let Some(record) = records.next().await.transpose()? else { break };
            // Key and data are slices of what was received; nothing was copied.
            println!("{} {} {}\t{}", record.shard, record.offset, record.key(), record.data().escape_ascii());
        }
        Ok(())
    })?
}
