//! A member of an application: starts, takes its share of the stream's shards, prints N records, and leaves. Start it several
//! times at once to see them share.
//!
//! ```text
//! cargo run --example group -- 127.0.0.1:7411 billing orders 1000
//! ```

use std::error::Error;
use std::net::SocketAddr;

use millstream::client::group::GroupOptions;
use millstream::client::{Client, ClientOptions};
use millstream::runtime::tokio::block_on;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(addr), Some(app), Some(stream), Some(count)) = (args.next(), args.next(), args.next(), args.next())
    else {
        return Err("usage: group ADDRESS APPLICATION STREAM RECORDS".into());
    };
    let (addr, count): (SocketAddr, u64) = (addr.parse()?, count.parse()?);

    block_on(async |rt| -> Result<(), Box<dyn Error>> {
        let client = Client::connect(rt, addr, ClientOptions::default()).await?;
        // Places are noted by this program itself here. By default asking for the next batch does it.
        let options = GroupOptions { checkpoint_every: None, ..GroupOptions::default() };
        let mut group = client.group(&app, &stream, options).await?;
        let mut printed = 0;
        while printed < count {
            let Some(mut batch) = group.next().await.transpose()? else { break };
            let mut next = batch.records.next_offset();
            while printed < count
                && let Some(record) = batch.records.next_record().transpose()?
            {
                println!("{} {} {}\t{}", record.shard, record.offset, record.key(), record.data().escape_ascii());
                (printed, next) = (printed + 1, record.offset.plus(1));
            }
            // From here on no member gets these again.
            group.checkpoint_at(batch.shard, next).await?;
        }
        group.leave().await?;
        Ok(())
    })?
}
