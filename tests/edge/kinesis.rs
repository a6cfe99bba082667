//! The Kinesis API of a whole node, over HTTP on the simulator, in both encodings.

mod access;
mod api;
mod cbor;
mod errors;
mod listings;
mod passing;
mod records;
mod reshard;
mod streams;
mod subscribe;

use millstream::kinesis::Encoding;

/// Runs a test in each encoding, each on a node of its own.
fn both(test: impl AsyncFn(&crate::world::World, Encoding)) {
    for encoding in Encoding::ALL {
        let world = api::world();
        world.sim.block_on(test(&world, encoding));
    }
}
