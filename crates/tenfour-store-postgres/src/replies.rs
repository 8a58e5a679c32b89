//! Replies in the database.

use tenfour_proto::{ProducerId, Reply, Sender};
use tenfour_store::REPLY_HOURS;
use tenfour_store::ledger::{Question, reply_sum};
use tokio_postgres::Row;

use crate::error::Trouble;
use crate::session::Session;

pub(crate) const KEEP: &str =
    "INSERT INTO reply(stream, sequence, hours, code, sum, body) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (stream, sequence) DO NOTHING";

pub(crate) const FIND: &str = "SELECT reply.stream, code, sum, body
    FROM sender JOIN stream ON stream.sender = sender.id JOIN reply ON reply.stream = stream.id
    WHERE sender.name = $1 AND stream.stream = $2 AND sequence = $3 AND hours > $4";

/// Writes down a reply, in the transaction of now. True if it is the first to its question: that is the only one.
pub(crate) async fn keep(
    session: &Session,
    question: &Question,
    reply: &Reply,
    hours: i64,
) -> Result<bool, Trouble> {
    let sum = i64::from(reply_sum(question.row, question.sequence, reply));
    let rows = session
        .client()
        .execute(
            session.statement(KEEP)?,
            &[
                &question.row,
                &(question.sequence as i64),
                &hours,
                &reply.code.map(i16::from),
                &sum,
                &&reply.body[..],
            ],
        )
        .await?;
    Ok(rows == 1)
}

/// The reply to a message, if there is one. One that is damaged is none.
pub(crate) async fn find(
    session: &Session,
    sender: &Sender,
    producer: ProducerId,
    sequence: u64,
    hours: i64,
) -> Result<Option<Reply>, Trouble> {
    let found = session
        .client()
        .query_opt(
            session.statement(FIND)?,
            &[
                &sender.to_string(),
                &&producer.as_bytes()[..],
                &(sequence as i64),
                &(hours - REPLY_HOURS),
            ],
        )
        .await?;
    found.map_or(Ok(None), |row| checked(&row, sequence))
}

/// The reply of a row that begins with the number of its stream, code, checksum and body, if it is as it was written.
pub(crate) fn checked(row: &Row, sequence: u64) -> Result<Option<Reply>, Trouble> {
    let stream = row.try_get(0)?;
    let mut reply = Reply::new(row.try_get::<_, Vec<u8>>(3)?);
    let code = row.try_get::<_, Option<i16>>(1)?;
    reply.code = code.and_then(|code| u8::try_from(code).ok());
    let is_sound = i64::from(reply_sum(stream, sequence, &reply)) == row.try_get::<_, i64>(2)?;
    if !is_sound {
        tracing::error!(stream, sequence, "a reply is damaged");
    }
    Ok(is_sound.then_some(reply))
}
