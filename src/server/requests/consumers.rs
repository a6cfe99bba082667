//! Registered consumers, and what is carried along with streams and consumers.

use std::collections::BTreeSet;

use super::streams::{version, wrong};
use super::{Requests, page, translate};
use crate::catalog::{ShardMetrics, Stream, Tags};
use crate::limits::PAGE_MAX;
use crate::protocol::Opcode;
use crate::protocol::messages::{
    DeregisterConsumer, DeregisterConsumerAnswer, DescribeConsumer, GetMetadata, GetMetadataAnswer, ListConsumers,
    ListConsumersAnswer, MetadataChange, RegisterConsumer, RegisterConsumerAnswer, SetMetadata, SetMetadataAnswer, Tag,
};
use crate::runtime::Runtime;
use crate::server::failure::Failure;
use crate::server::mail::{AdminDone, AdminOp, Note};

/// Tags, none of which is named twice.
fn owned_tags(tags: &[Tag<'_>]) -> Result<Tags, Failure> {
    let owned: Tags = tags.iter().map(|tag| (tag.key.to_owned(), tag.value.to_owned())).collect();
    if owned.len() == tags.len() { Ok(owned) } else { Err(Failure::Invalid("a tag is named twice")) }
}

fn tags(tags: &Tags) -> Vec<Tag<'_>> {
    tags.iter().map(|(key, value)| Tag { key, value }).collect()
}

/// Text that says "none" by being empty.
fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn note(change: MetadataChange<'_>) -> Result<Note, Failure> {
    Ok(match change {
        MetadataChange::Tags { set, remove } => {
            let mut named: BTreeSet<&str> = set.iter().map(|tag| tag.key).collect();
            if !remove.iter().all(|key| named.insert(key)) {
                return Err(Failure::Invalid("a tag is named twice"));
            }
            Note::Tags(owned_tags(&set)?, remove.into_iter().map(str::to_owned).collect())
        }
        MetadataChange::Encryption(key) => Note::Encryption(given(key)),
        MetadataChange::Monitoring(bits) => {
            Note::Monitoring(ShardMetrics::from_bits(bits).ok_or(Failure::Invalid("there are 7 metrics per shard"))?)
        }
        MetadataChange::Policy(policy) => Note::Policy(given(policy)),
    })
}

impl<R: Runtime> Requests<R> {
    pub(super) fn register_consumer(&self, register: &RegisterConsumer<'_>, correlation: u64) {
        let tags = match owned_tags(&register.tags) {
            Ok(tags) => tags,
            Err(failure) => return self.fail(Opcode::RegisterConsumer, correlation, &failure),
        };
        let op = AdminOp::Register { name: register.stream.to_owned(), consumer: register.name.to_owned(), tags };
        self.admin(op, Opcode::RegisterConsumer, correlation, move |_, outbox, done| {
            let AdminDone::Registered { version: catalogue_version, consumer } = &done else { wrong(&done) };
            let answer = RegisterConsumerAnswer {
                catalogue_version: *catalogue_version,
                consumer: translate::consumer(consumer),
            };
            outbox.answer(Opcode::RegisterConsumer, correlation, &answer);
        });
    }

    pub(super) fn deregister_consumer(&self, deregister: &DeregisterConsumer<'_>, correlation: u64) {
        let op = AdminOp::Deregister { name: deregister.stream.to_owned(), consumer: deregister.name.to_owned() };
        self.admin(op, Opcode::DeregisterConsumer, correlation, move |_, outbox, done| {
            let answer = DeregisterConsumerAnswer { catalogue_version: version(&done) };
            outbox.answer(Opcode::DeregisterConsumer, correlation, &answer);
        });
    }

    pub(super) fn list_consumers(&self, list: &ListConsumers<'_>, correlation: u64) {
        let limit = page(list.limit, PAGE_MAX);
        let found = self.with_stream(list.stream, |stream| {
            let after = stream.consumers().filter(|consumer| consumer.name.as_str() > list.after);
            let mut consumers: Vec<_> = after.take(limit + 1).map(translate::consumer).collect();
            let more = consumers.len() > limit;
            consumers.truncate(limit);
            self.outbox.answer(Opcode::ListConsumers, correlation, &ListConsumersAnswer { consumers, more });
            Ok(())
        });
        if let Err(failure) = found {
            self.fail(Opcode::ListConsumers, correlation, &failure);
        }
    }

    pub(super) fn describe_consumer(&self, describe: &DescribeConsumer<'_>, correlation: u64) {
        let found = self.with_stream(describe.stream, |stream| {
            let found = stream.consumer_by_name(describe.name);
            let consumer = found.ok_or_else(|| Failure::ConsumerUnknown(describe.name.to_owned()))?;
            self.outbox.answer(Opcode::DescribeConsumer, correlation, &translate::consumer(consumer));
            Ok(())
        });
        if let Err(failure) = found {
            self.fail(Opcode::DescribeConsumer, correlation, &failure);
        }
    }

    pub(super) fn get_metadata(&self, get: &GetMetadata<'_>, correlation: u64) {
        let found = self.with_stream(get.stream, |stream| {
            let answer = if get.consumer.is_empty() {
                let metadata = stream.metadata();
                GetMetadataAnswer {
                    tags: tags(&metadata.tags),
                    encryption_key: metadata.encryption.as_ref().map_or("", |encryption| &encryption.key_id),
                    monitoring: metadata.monitoring.bits(),
                    policy: metadata.policy.as_deref().unwrap_or(""),
                }
            } else {
                let found = stream.consumer_by_name(get.consumer);
                let consumer = found.ok_or_else(|| Failure::ConsumerUnknown(get.consumer.to_owned()))?;
                GetMetadataAnswer {
                    tags: tags(&consumer.tags),
                    encryption_key: "",
                    monitoring: 0,
                    policy: consumer.policy.as_deref().unwrap_or(""),
                }
            };
            self.outbox.answer(Opcode::GetMetadata, correlation, &answer);
            Ok(())
        });
        if let Err(failure) = found {
            self.fail(Opcode::GetMetadata, correlation, &failure);
        }
    }

    pub(super) fn set_metadata(&self, set: SetMetadata<'_>, correlation: u64) {
        let note = match note(set.change) {
            Ok(note) => note,
            Err(failure) => return self.fail(Opcode::SetMetadata, correlation, &failure),
        };
        let op = AdminOp::Note { name: set.stream.to_owned(), consumer: given(set.consumer), note };
        self.admin(op, Opcode::SetMetadata, correlation, move |_, outbox, done| {
            let answer = SetMetadataAnswer { catalogue_version: version(&done) };
            outbox.answer(Opcode::SetMetadata, correlation, &answer);
        });
    }

    fn with_stream<T>(&self, name: &str, look: impl FnOnce(&Stream) -> Result<T, Failure>) -> Result<T, Failure> {
        let catalog = self.worker.catalog.borrow();
        look(catalog.stream_by_name(name).ok_or_else(|| Failure::StreamUnknown(name.to_owned()))?)
    }
}
