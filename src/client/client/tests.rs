use super::*;
use crate::client::testing::{PORT, STREAM, World, options};
use crate::protocol::{ErrorAnswer, ErrorCode};
use crate::types::Offset;

/// Goal: every catalogue operation, ping, stats and positions bring the node's answer; listings are read page by page.
#[test]
fn operations_bring_answers() {
    let world = World::new(1, 5);
    world.store.page.set(2);
    world.fill(3, 40);
    world.sim.block_on(async {
        let client = world.client().await;
        assert_eq!(client.node().node_id, 7);
        assert!(client.ping().await.unwrap() > WallUs(0));
        assert_eq!(client.stats(Stats::Node).await.unwrap(), [("shards".to_owned(), 5)]);
        let names: Vec<_> = client.list_streams().await.unwrap().into_iter().map(|stream| stream.name).collect();
        assert_eq!(names, ["audit", STREAM, "users"]);
        let description = client.describe_stream(STREAM).await.unwrap();
        assert_eq!(description.shards.all().len(), 5);
        let shard = *description.shards.shard(ShardNumber(3)).unwrap();
        assert_eq!(client.position(&shard, Start::Latest).await.unwrap().offset, Offset(40));
        client.create_stream("new", 3, SettingsChange::default()).await.unwrap();
        assert_eq!(client.update_stream(STREAM, SettingsChange::default()).await.unwrap().retention_hours, 24);
        client.delete_stream(STREAM, false).await.unwrap();
        assert!(matches!(client.describe_stream(STREAM).await, Err(Error::StreamGone(_))));
        for name in ["", &*"x".repeat(129)] {
            assert!(matches!(client.describe_stream(name).await, Err(Error::Argument(_))));
        }
    });
}

/// Goal: what changes the catalogue is sent again after an error that passes, and never after a lost answer.
#[test]
fn changes_are_not_repeated_blindly() {
    let world = World::new(2, 1);
    world.sim.block_on(async {
        let client = world.client().await;
        world.store.script.borrow_mut().push(ErrorAnswer::new(ErrorCode::StreamNotActive).retry_after(50));
        client.create_stream("new", 1, SettingsChange::default()).await.unwrap();
        assert_eq!(world.store.catalogue_calls.get(), 2);
        world.store.script.borrow_mut().push(ErrorAnswer::new(ErrorCode::StreamExists));
        let error = client.create_stream("new", 1, SettingsChange::default()).await.unwrap_err();
        assert_eq!((error.code(), world.store.catalogue_calls.get()), (Some(ErrorCode::StreamExists), 3));
        world.store.lose_change.set(true);
        let error = client.delete_stream(STREAM, false).await.unwrap_err();
        assert!(error.is_outcome_unknown(), "{error}");
        assert_eq!(world.store.catalogue_calls.get(), 4);
        client.ping().await.unwrap();
    });
}

/// Goal: reads survive a restart of the node without the caller noticing.
#[test]
fn reads_are_repeated_over_a_restart() {
    let world = World::new(3, 1);
    world.sim.block_on(async {
        let client = world.client().await;
        client.ping().await.unwrap();
        world.restart();
        client.describe_stream(STREAM).await.unwrap();
        world.sim.kill(world.node);
        let error = client.ping().await.unwrap_err();
        assert!(matches!(error, Error::Connect { .. }), "{error}");
    });
}

/// Goal: a worker's own port is used where it can be reached; otherwise the shared address serves, and the connection is
/// shared by everybody who asks at the same time.
#[test]
fn own_ports_and_the_way_around() {
    let world = World::new(4, 2);
    world.sim.block_on(async {
        let client = world.client().await;
        let open = || client.connection_to(WorkerId(1));
        let (first, second) = futures_lite::future::zip(open(), open()).await;
        assert_eq!(first.as_ref().unwrap().addr().port(), PORT + 2);
        assert_eq!(first.unwrap().node().worker, WorkerId(1));
        assert_eq!(second.unwrap().addr().port(), PORT + 2);
        // After the restart nobody listens there.
        world.store.direct.set(false);
        world.restart();
        client.reactor().sleep(Duration::from_millis(100)).await;
        assert_eq!(open().await.unwrap().addr().port(), PORT);
        assert_eq!(client.connection_to(WorkerId(9)).await.unwrap().addr().port(), PORT);
        world.store.direct.set(true);
        world.restart();
        client.reactor().sleep(Duration::from_millis(100)).await;
        assert_eq!(open().await.unwrap().addr().port(), PORT + 2, "the new ports were learnt on the way around");
    });
}

/// Goal: a wrong token is refused at once with the node's error; a right one is taken.
#[test]
fn tokens_are_shown() {
    let world = World::new(5, 1);
    *world.store.token.borrow_mut() = b"secret".to_vec();
    world.sim.block_on(async {
        let connect = |token: &[u8]| {
            let options = ClientOptions { token: token.to_vec(), ..options() };
            Client::connect(world.runtime(), world.addr(), options)
        };
        let error = connect(b"wrong").await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::Unauthorized));
        assert!(!error.is_retryable());
        connect(b"secret").await.unwrap().ping().await.unwrap();
        assert!(matches!(connect(&[0; 257]).await, Err(Error::Argument(_))));
    });
}

/// Goal: a peer that speaks something else, says nothing, or answers nonsense is an error in bounded time.
#[test]
fn strangers_are_noticed() {
    use crate::runtime::{Listener, Runtime, WriteHalf};
    for greeting in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"", &[0; 64]] {
        let world = World::new(6, 1);
        let rt = world.sim.runtime(world.node);
        let listener = rt.listen((world.sim.ip(world.node), 9).into(), false).unwrap();
        world.sim.spawn(world.node, async move {
            let (_read, mut write) = listener.accept().await.unwrap();
            write.write_all(&mut [std::io::IoSlice::new(greeting)]).await.unwrap();
            rt.sleep(Duration::from_secs(60)).await;
        });
        world.sim.block_on(async {
            let addr = (world.sim.ip(world.node), 9).into();
            let error = Client::connect(world.runtime(), addr, options()).await.unwrap_err();
            match greeting.is_empty() {
                true => assert!(matches!(error, Error::Connect { .. }), "{error}"),
                false => assert!(matches!(error, Error::Protocol(_)), "{error}"),
            }
        });
    }
}

/// Goal: shards are split, merged, moved and scaled; a scaling takes its time, and is followed when its answer is lost.
#[test]
fn shards_are_changed() {
    let world = World::new(7, 2);
    world.sim.block_on(async {
        let client = world.client().await;
        let children = client.split_shard(STREAM, ShardNumber(0), crate::types::HashKey(10)).await.unwrap().children;
        assert_eq!(children.iter().map(|child| child.number.0).collect::<Vec<_>>(), [2, 3]);
        let merged = client.merge_shards(STREAM, ShardNumber(2), ShardNumber(3)).await.unwrap().children;
        assert_eq!((merged[0].parent, merged[0].adjacent_parent), (Some(ShardNumber(2)), Some(ShardNumber(3))));
        let again = client.merge_shards(STREAM, ShardNumber(2), ShardNumber(3)).await.unwrap_err();
        assert_eq!(again.code(), Some(ErrorCode::InvalidArgument));
        client.move_shard(STREAM, ShardNumber(4), WorkerId(1)).await.unwrap();
        assert_eq!(client.plan_scaling(STREAM, 3).await.unwrap().steps.len(), 1);
        assert_eq!(client.scale_stream(STREAM, 3).await.unwrap().open_shards, 2);
        world.store.lose_change.set(true);
        let calls = world.store.catalogue_calls.get();
        let scaling = client.scale_stream(STREAM, 4);
        let unlost = async {
            world.sim.runtime(world.peer).sleep(Duration::from_secs(1)).await;
            world.store.lose_change.set(false);
        };
        let (_, ()) = futures_lite::future::zip(scaling, unlost).await;
        assert!(world.store.catalogue_calls.get() > calls);
    });
}
