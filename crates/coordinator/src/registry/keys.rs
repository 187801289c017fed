//! Keys of consumers, and what they used.

use super::{Registry, Result};
use crate::keys::{DayUsage, KeyLimits, KeyRecord, Usage};
use rusqlite::{OptionalExtension, TransactionBehavior, params};

impl Registry {
    /// Adds a key.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn add_key(&self, key: &KeyRecord) -> Result<()> {
        let KeyRecord { prefix, hash, note, models, created, expires, revoked, limits, weight } = key;
        let models = serde_json::to_string(models).unwrap_or_else(|_| "[]".into());
        let seconds = |time: &Option<u64>| time.map(u64::cast_signed);
        let values = params![
            prefix,
            hash,
            note,
            models,
            created.cast_signed(),
            seconds(expires),
            seconds(revoked),
            limits.requests_per_minute,
            limits.tokens_per_day.map(u64::cast_signed),
            limits.streams,
            weight
        ];
        let query = "INSERT INTO keys VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        self.wrap(self.db.execute(query, values).map(drop))
    }

    /// Every key, in the order in which they were made.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn keys(&self) -> Result<Vec<KeyRecord>> {
        let read = || {
            let mut query = self.db.prepare("SELECT * FROM keys ORDER BY created, prefix")?;
            let seconds = |time: Option<i64>| time.map(i64::cast_unsigned);
            let rows = query.query_map([], |row| {
                Ok(KeyRecord {
                    prefix: row.get("prefix")?,
                    hash: row.get("hash")?,
                    note: row.get("note")?,
                    // A list that cannot be read must not open every model.
                    models: serde_json::from_str(&row.get::<_, String>("models")?)
                        .unwrap_or_else(|_| vec![String::new()]),
                    created: row.get::<_, i64>("created")?.cast_unsigned(),
                    expires: seconds(row.get("expires")?),
                    revoked: seconds(row.get("revoked")?),
                    limits: KeyLimits {
                        requests_per_minute: row.get("requests_per_minute")?,
                        tokens_per_day: seconds(row.get("tokens_per_day")?),
                        streams: row.get("streams")?,
                    },
                    weight: row.get("weight")?,
                })
            })?;
            rows.collect()
        };
        self.wrap(read())
    }

    /// Revokes a key from `now` on, in seconds since the Unix epoch. False if there is none of that prefix, or it was
    /// revoked before.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn revoke_key(&self, prefix: &str, now: u64) -> Result<bool> {
        let query = "UPDATE keys SET revoked = ?2 WHERE prefix = ?1 AND revoked IS NULL";
        self.wrap(self.db.execute(query, params![prefix, now.cast_signed()]).map(|changed| changed > 0))
    }

    /// Adds to what keys used on a day, all of it or nothing.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn add_usage(&mut self, day: &str, used: &[(String, Usage)]) -> Result<()> {
        let query = "INSERT INTO usage VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key, day) DO UPDATE SET
            requests = requests + excluded.requests,
            prompt_tokens = prompt_tokens + excluded.prompt_tokens,
            completion_tokens = completion_tokens + excluded.completion_tokens";
        let add = |db: &mut rusqlite::Connection| {
            let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (key, Usage { requests, prompt_tokens, completion_tokens }) in used {
                let [requests, prompt, completion] =
                    [requests, prompt_tokens, completion_tokens].map(|count| count.cast_signed());
                change.execute(query, params![key, day, requests, prompt, completion])?;
            }
            change.commit()
        };
        let result = add(&mut self.db);
        self.wrap(result)
    }

    /// What a key used on a day.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn usage_of(&self, key: &str, day: &str) -> Result<Usage> {
        let query = "SELECT requests, prompt_tokens, completion_tokens FROM usage WHERE key = ?1 AND day = ?2";
        let found = self.db.query_row(query, [key, day], |row| usage(row, 0)).optional();
        self.wrap(found.map(Option::unwrap_or_default))
    }

    /// What keys used from a day on, in the order of days.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn usage_since(&self, day: &str) -> Result<Vec<DayUsage>> {
        let read = || {
            let query = "SELECT key, day, requests, prompt_tokens, completion_tokens FROM usage
                WHERE day >= ?1 ORDER BY day, key";
            let mut query = self.db.prepare(query)?;
            let rows = query
                .query_map([day], |row| Ok(DayUsage { key: row.get(0)?, day: row.get(1)?, used: usage(row, 2)? }))?;
            rows.collect()
        };
        self.wrap(read())
    }
}

/// The three counts from a column on.
fn usage(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Usage> {
    let count = |at: usize| row.get::<_, i64>(first + at).map(i64::cast_unsigned);
    Ok(Usage { requests: count(0)?, prompt_tokens: count(1)?, completion_tokens: count(2)? })
}
