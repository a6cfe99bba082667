//! The limits that Kinesis has on changes of a stream, for streams with `limits = aws`: asked for at every port in turn,
//! over crashes, until a day has passed.

use millstream::protocol::messages::{
    CapacityMode, CustomLimits, MetadataChange, RegisterConsumer, ScaleStream, SetMetadata, SettingsChange,
    StreamLimits, UpdateStream,
};
use millstream::protocol::{ErrorCode, Operation};

use crate::world::World;

const NO_CHANGE: SettingsChange = SettingsChange::NONE;
const HOUR_US: i64 = 3_600_000_000;

const fn limits(limits: StreamLimits) -> SettingsChange {
    SettingsChange { limits: Some(limits), ..NO_CHANGE }
}

const fn mode(mode: CapacityMode) -> SettingsChange {
    SettingsChange { mode: Some(mode), ..NO_CHANGE }
}

const fn change(settings: SettingsChange) -> UpdateStream<'static> {
    UpdateStream { name: "s", settings }
}

const fn scale(target: u32) -> ScaleStream<'static> {
    ScaleStream { stream: "s", target, plan_only: false }
}

const fn encrypt(key: &str) -> SetMetadata<'_> {
    SetMetadata { stream: "s", consumer: "", change: MetadataChange::Encryption(key) }
}

const ON_DEMAND: CapacityMode = CapacityMode::OnDemand { shards_min: 2, shards_max: 8 };

/// Somebody who asks at another port each time.
struct Asker<'a> {
    world: &'a World,
    asked: std::cell::Cell<usize>,
}

impl Asker<'_> {
    /// What was refused, and the limit that the refusal names; `None` if it was done.
    fn refused<O: Operation>(&self, args: &O) -> Option<(ErrorCode, u64)> {
        let ports = self.world.ports();
        let port = ports[self.asked.replace(self.asked.get() + 1) % ports.len()];
        self.world.sim.block_on(async {
            let mut conn = self.world.open(port).await;
            let answer = conn.call(args, &[]).await;
            answer.answer::<O>().unwrap().err().map(|error| (error.known().unwrap(), error.detail_a))
        })
    }

    fn done<O: Operation>(&self, args: &O) {
        let refused = self.refused(args);
        assert_eq!(refused, None, "opcode {:?}", O::OPCODE);
    }

    /// The node loses power and starts again.
    fn crash(&self) {
        self.world.sim.power_loss(self.world.node);
        self.world.start();
    }

    fn hours_pass(&self, hours: i64) {
        self.world.sim.jump_wall(self.world.node, hours * HOUR_US);
    }
}

fn asker(world: &World) -> Asker<'_> {
    world.sim.block_on(async {
        world.worker(0).await.create("s", 2, limits(StreamLimits::Aws)).await;
    });
    Asker { world, asked: std::cell::Cell::new(0) }
}

/// Goal: two changes of mode in 24 hours and not a third; bounds are no change of mode; without the limits there is none.
#[test]
fn changes_of_mode() {
    let world = World::new(3);
    let asker = asker(&world);
    let third = Some((ErrorCode::LimitExceeded, 2));
    asker.done(&change(mode(ON_DEMAND)));
    asker.done(&change(mode(CapacityMode::OnDemand { shards_min: 1, shards_max: 9 })));
    asker.hours_pass(1);
    asker.done(&change(mode(CapacityMode::Provisioned)));
    asker.crash();
    assert_eq!(asker.refused(&change(mode(ON_DEMAND))), third);
    assert_eq!(asker.refused(&change(SettingsChange { retention_hours: Some(30), ..mode(ON_DEMAND) })), third);
    asker.done(&change(SettingsChange { retention_hours: Some(30), ..NO_CHANGE }));
    asker.hours_pass(22);
    assert_eq!(asker.refused(&change(mode(ON_DEMAND))), third, "23 hours after the first");
    asker.hours_pass(1);
    asker.done(&change(mode(ON_DEMAND)));
    assert_eq!(asker.refused(&change(mode(CapacityMode::Provisioned))), third);
    // A change that takes the limits away is made without them.
    asker.done(&change(SettingsChange { limits: Some(StreamLimits::None), ..mode(CapacityMode::Provisioned) }));
    for _ in 0..3 {
        asker.done(&change(mode(ON_DEMAND)));
        asker.done(&change(mode(CapacityMode::Provisioned)));
    }
}

/// Goal: ten scalings in 24 hours, to half or twice the shards at most; what is refused does not count, custom limits have
/// no such rule.
#[test]
fn scalings() {
    let world = World::new(3);
    let asker = asker(&world);
    let eleventh = Some((ErrorCode::LimitExceeded, 10));
    for round in 0..10 {
        // From 2 shards to 4 and back.
        let (open, target) = if round % 2 == 0 { (2, 4) } else { (4, 2) };
        for wrong in [2 * open + 1, open / 2 - 1] {
            let refused = asker.refused(&scale(wrong));
            assert_eq!(refused.unwrap().0, ErrorCode::InvalidArgument, "from {open} to {wrong}");
        }
        // The plan is shown whatever the limits are, and counts for nothing.
        asker.done(&ScaleStream { plan_only: true, ..scale(9) });
        asker.done(&scale(target));
        if round == 5 {
            asker.crash();
        }
    }
    assert_eq!(asker.refused(&scale(3)), eleventh);
    asker.hours_pass(23);
    assert_eq!(asker.refused(&scale(3)), eleventh);
    asker.done(&change(limits(StreamLimits::Custom(CustomLimits::default()))));
    asker.done(&scale(7));
    asker.done(&scale(1));
    asker.done(&change(limits(StreamLimits::Aws)));
    assert_eq!(asker.refused(&scale(2)), eleventh);
    // Only the two of the last hour count then.
    asker.hours_pass(2);
    for target in [2, 4, 2, 4, 2, 4, 2, 4] {
        asker.done(&scale(target));
    }
    assert_eq!(asker.refused(&scale(2)), eleventh);
}

/// Goal: 25 keys for encryption in 24 hours, and 25 stops; setting the same key again, or stopping what does not run, is no
/// change.
#[test]
fn changes_of_encryption() {
    let world = World::new(3);
    let asker = asker(&world);
    let one_more = Some((ErrorCode::LimitExceeded, 25));
    for round in 0..25 {
        let key = format!("alias/key-{round}");
        asker.done(&encrypt(&key));
        asker.done(&encrypt(&key));
        asker.done(&encrypt(""));
        asker.done(&encrypt(""));
        if round == 12 {
            asker.crash();
        }
    }
    assert_eq!(asker.refused(&encrypt("alias/one-more")), one_more);
    asker.done(&encrypt(""));
    asker.hours_pass(23);
    assert_eq!(asker.refused(&encrypt("alias/one-more")), one_more);
    asker.hours_pass(1);
    asker.done(&encrypt("alias/one-more"));
    asker.done(&encrypt(""));
}

/// Goal: 20 registered consumers, 50 without the limits; one that goes makes room.
#[test]
fn registered_consumers() {
    let world = World::new(3);
    let asker = asker(&world);
    let register = |asker: &Asker<'_>, n: usize| {
        let name = format!("c{n}");
        asker.refused(&RegisterConsumer { stream: "s", name: &name, tags: Vec::new() })
    };
    for n in 0..20 {
        assert_eq!(register(&asker, n), None);
    }
    asker.crash();
    assert_eq!(register(&asker, 20), Some((ErrorCode::LimitExceeded, 20)));
    asker.done(&millstream::protocol::messages::DeregisterConsumer { stream: "s", name: "c7" });
    assert_eq!(register(&asker, 20), None);
    assert_eq!(register(&asker, 21), Some((ErrorCode::LimitExceeded, 20)));
    asker.done(&change(limits(StreamLimits::None)));
    for n in 21..51 {
        assert_eq!(register(&asker, n), None);
    }
    assert_eq!(register(&asker, 51), Some((ErrorCode::LimitExceeded, 50)));
}
