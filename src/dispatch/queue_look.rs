//! What an existing queue is like, found out without ever creating or changing one.
//!
//! AMQP has no question for a queue's arguments. But who declares an existing queue otherwise than it is, is refused,
//! and the refusal names the first difference with the queue's own value. So the queue is declared with values that no
//! queue can have; each refusal tells one true value, which takes the place of the impossible one, as long as an
//! impossible one is left. If the queue is deleted meanwhile nothing comes of it: the broker checks values before it
//! creates, and refuses these.

use std::collections::{BTreeMap, BTreeSet};

use lapin::Connection;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::dispatch::queue::{Queue, code, reply_code};
use crate::dispatch::{QueueSettings, SinkError, scrub, trust};
use crate::event::Reporter;
use crate::model::QueueLook;

/// Arguments until nothing more is asked: a queue can have about 20.
const MOST_ARGUMENTS: usize = 64;

/// Connects as a courier would and looks at the queue; `None` if there is none of its name.
pub async fn look_at_queue(settings: &QueueSettings) -> Result<Option<QueueLook>, SinkError> {
    trust::install_provider();
    let queue = Queue::new(settings.clone(), Reporter::default());
    let connection = queue.dial().await?;
    let looked = look(&queue, settings, &connection).await;
    // A connection that does not end properly ends with the process.
    let _ = queue.within(connection.close(200, "done".into())).await;
    looked
}

async fn look(
    queue: &Queue,
    settings: &QueueSettings,
    connection: &Connection,
) -> Result<Option<QueueLook>, SinkError> {
    let channel = queue.within(connection.create_channel()).await?;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let name = ShortString::from(settings.queue.as_str());
    let declaring = channel.queue_declare(name, passive, FieldTable::default());
    let state = match tokio::time::timeout(settings.timeout, declaring).await {
        Err(_) => return Err(queue.silent()),
        Ok(Ok(state)) => state,
        Ok(Err(error)) if reply_code(&error) == Some(code::NOT_FOUND) => {
            return Ok(None);
        }
        Ok(Err(error)) => return Err(queue.explain(&error)),
    };
    let mut guess = Guess::new();
    let mut unseen = None;
    // Ends: each refusal but the last tells of another argument, and there is a most.
    while guess.is_impossible() {
        match refusal(queue, settings, connection, &guess).await? {
            Refusal::Differs(difference) if guess.learn(&difference) => {}
            Refusal::Differs(Difference { name, .. }) => {
                unseen = Some(format!("{name} cannot be spelled as the broker does"));
                break;
            }
            Refusal::Else(reason) => {
                unseen = Some(reason);
                break;
            }
        }
    }
    let (messages, consumers) = (state.message_count(), state.consumer_count());
    Ok(Some(QueueLook { messages, consumers, unseen, ..guess.learnt() }))
}

/// What the broker said to an impossible declaration.
enum Refusal {
    Differs(Difference),
    Else(String),
}

async fn refusal(
    queue: &Queue,
    settings: &QueueSettings,
    connection: &Connection,
    guess: &Guess,
) -> Result<Refusal, SinkError> {
    // Each refusal closes its channel.
    let channel = queue.within(connection.create_channel()).await?;
    let options = QueueDeclareOptions {
        durable: guess.durable,
        auto_delete: guess.auto_delete,
        ..QueueDeclareOptions::default()
    };
    let name = ShortString::from(settings.queue.as_str());
    let declaring = channel.queue_declare(name, options, guess.table());
    match tokio::time::timeout(settings.timeout, declaring).await {
        Err(_) => Err(queue.silent()),
        Ok(Ok(_)) => Ok(Refusal::Else("the broker took values that no queue can have".to_owned())),
        Ok(Err(error)) => {
            let text = scrub(&error.to_string(), &settings.url);
            match reply_code(&error) {
                Some(code::PRECONDITION_FAILED) => {
                    Ok(Difference::parse(&text).map_or(Refusal::Else(text), Refusal::Differs))
                }
                Some(_) => Ok(Refusal::Else(text)),
                None => Err(queue.explain(&error)),
            }
        }
    }
}

/// Where the queue differs from what was declared, by the broker's refusal.
#[derive(Debug, Clone, PartialEq)]
struct Difference {
    name: String,
    /// The queue's own value; `None` if it has no such argument.
    current: Option<Current>,
}

#[derive(Debug, Clone, PartialEq)]
struct Current {
    text: String,
    /// The broker's name of its type, if it told.
    kind: Option<String>,
}

impl Difference {
    /// From `... inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received none but current is the value '10' of
    /// type 'signedint'`, or `received '-1' but current is '10'` if both have the argument.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("inequivalent arg '")?;
        let (name, rest) = rest.split_once('\'')?;
        let (_, current) = rest.rsplit_once(" but current is ")?;
        let current = match current.strip_prefix("the value '") {
            Some(value) => {
                let (value, kind) = value.rsplit_once("' of type '")?;
                Some(Current { text: value.to_owned(), kind: Some(kind.split_once('\'')?.0.to_owned()) })
            }
            None if current.starts_with("none") => None,
            None => {
                let value = current.strip_prefix('\'')?.rsplit_once('\'')?.0;
                Some(Current { text: value.to_owned(), kind: None })
            }
        };
        Some(Self { name: name.to_owned(), current })
    }
}

/// The declaration that is tried next: what was learnt, and impossible values for the rest.
struct Guess {
    durable: bool,
    auto_delete: bool,
    /// What was told of the queue's arguments; `None`: it has no such argument.
    known: BTreeMap<String, Option<AMQPValue>>,
    /// The flags that were told.
    told: BTreeSet<String>,
    impossible: BTreeMap<&'static str, AMQPValue>,
}

/// Values that no queue can have: not in the range, not of the type, not one of the words. `RabbitMQ` refuses each of them
/// alone, whatever the queue's type is; `tests/sinks/look.rs` tries them.
#[must_use]
pub fn impossible_arguments() -> BTreeMap<&'static str, AMQPValue> {
    let number = AMQPValue::LongLongInt;
    let text = || AMQPValue::LongString("nfs-scout-asks".into());
    BTreeMap::from([
        ("x-expires", number(0)),
        ("x-message-ttl", number(-1)),
        ("x-dead-letter-exchange", number(0)),
        ("x-max-length", number(-1)),
        ("x-max-length-bytes", number(-1)),
        ("x-overflow", text()),
        ("x-single-active-consumer", text()),
        ("x-queue-type", text()),
    ])
}

impl Guess {
    fn new() -> Self {
        let impossible = impossible_arguments();
        Self { durable: true, auto_delete: false, known: BTreeMap::new(), told: BTreeSet::new(), impossible }
    }

    /// Whether no broker can carry it out: only then it may be sent.
    fn is_impossible(&self) -> bool {
        !self.impossible.is_empty()
    }

    /// Takes what a refusal told; `false` if that was told before, so that asking again would never end.
    fn learn(&mut self, difference: &Difference) -> bool {
        let is_on = difference.current.as_ref().is_some_and(|current| current.text == "true");
        let name = difference.name.as_str();
        match name {
            "durable" => self.durable = is_on,
            "auto_delete" => self.auto_delete = is_on,
            _ => {
                let asked = self.impossible.remove(name);
                let value = difference.current.as_ref().map(|current| current.typed(name, asked.as_ref()));
                return self.known.insert(name.to_owned(), value).is_none()
                    && self.known.len() < MOST_ARGUMENTS;
            }
        }
        self.told.insert(name.to_owned())
    }

    fn table(&self) -> FieldTable {
        let mut table = FieldTable::default();
        let known = self.known.iter().filter_map(|(name, value)| Some((name.as_str(), value.clone()?)));
        let impossible = self.impossible.iter().map(|(name, value)| (*name, value.clone()));
        for (name, value) in known.chain(impossible) {
            table.insert(name.into(), value);
        }
        table
    }

    fn learnt(self) -> QueueLook {
        let given = self.known.into_iter().filter_map(|(name, value)| Some((name, spelled(&value?))));
        QueueLook {
            durable: self.durable,
            auto_delete: self.auto_delete,
            arguments: given.collect(),
            ..QueueLook::default()
        }
    }
}

impl Current {
    /// The value as it can be declared; the broker compares numbers whatever their width.
    fn typed(&self, name: &str, asked: Option<&AMQPValue>) -> AMQPValue {
        let is_switch = self.kind.as_deref() == Some("bool") || name == "x-single-active-consumer";
        let is_number = match &self.kind {
            Some(kind) => kind != "longstr",
            // An impossible number was given where a name belongs, an impossible word where a word does.
            None => matches!(asked, Some(AMQPValue::LongLongInt(_))) && name != "x-dead-letter-exchange",
        };
        match self.text.parse() {
            _ if is_switch => AMQPValue::Boolean(self.text == "true"),
            Ok(number) if is_number => AMQPValue::LongLongInt(number),
            _ => AMQPValue::LongString(self.text.as_str().into()),
        }
    }
}

fn spelled(value: &AMQPValue) -> String {
    match value {
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::LongLongInt(value) => value.to_string(),
        AMQPValue::LongString(value) => value.to_string(),
        // No other type is ever learnt.
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(current: &str, expected: Option<(&str, &str)>) {
        let text = format!(
            "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'it's' in vhost '/': received none but current is {current}"
        );
        let found = Difference::parse(&text).expect("a difference");
        let current =
            found.current.as_ref().map(|it| (it.text.as_str(), it.kind.as_deref().unwrap_or_default()));
        assert_eq!((found.name.as_str(), current), ("x-max-length", expected));
    }

    #[test]
    fn reads_refusals() {
        check("the value '10' of type 'signedint'", Some(("10", "signedint")));
        check("the value 'it's' of type 'longstr'", Some(("it's", "longstr")));
        check("none", None);
        check("'false'", Some(("false", "")));
        check("'it's a 'place''", Some(("it's a 'place'", "")));
        assert_eq!(Difference::parse("PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'q'"), None);
        assert_eq!(
            Difference::parse("inequivalent arg 'x' for queue 'q': received none but current is the va"),
            None
        );
    }
}
