//! Puts N records into a stream: batches that fill by themselves, acknowledgements collected along the way.
//!
//! ```text
//! cargo run --example producer -- 127.0.0.1:4566 orders 1000
//! ```

use std::collections::VecDeque;
use std::error::Error;
use std::net::SocketAddr;

use millstream::client::{Client, ClientOptions, ProducerOptions};
use millstream::runtime::tokio::block_on;

/// Acknowledgements waited for at a time.
const PENDING_MAX: usize = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(addr), Some(stream), Some(count)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: producer ADDRESS STREAM RECORDS".into());
    };
    let (addr, count): (SocketAddr, u64) = (addr.parse()?, count.parse()?);

    block_on(async |rt| -> Result<(), Box<dyn Error>> {
        let client = Client::connect(rt, addr, ClientOptions::default()).await?;
        let producer = client.producer(&stream, ProducerOptions::default()).await?;
        let mut pending = VecDeque::new();
        for n in 0..count {
            // Waits only while the producer's buffer is full: that is the back-pressure.
            let ticket = producer.send(&format!("key-{}", n % 100), format!("record {n}").as_bytes()).await?;
            pending.push_back(ticket);
            // A ticket resolves when its record is on the node's disk.
            if pending.len() >= PENDING_MAX
                && let Some(oldest) = pending.pop_front()
            {
                oldest.wait().await?;
            }
        }
        for ticket in pending {
            ticket.wait().await?;
        }
        println!("{} records stored", producer.progress().records_stored);
        producer.close().await?;
        Ok(())
    })?
}
