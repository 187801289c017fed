//! Filters of lists.

use super::super::Failure;
use super::super::arguments::{Arguments, integer, string};
use super::super::ast::Arithmetic;
use super::super::budget::{Buffer, step};
use super::super::checks;
use super::super::expressions;
use super::super::operators::arithmetic;
use super::super::print::write_str;
use super::super::value::{List, Value};
use super::{apply as filter, attribute, pairs, without_case};
use std::cmp::Ordering;
use std::rc::Rc;

pub(super) fn apply(value: &Value, name: &str, arguments: Arguments) -> Result<Value, Failure> {
    match name {
        "length" | "count" => {
            arguments.none(name)?;
            Ok(Value::length(value.len()?))
        }
        "list" => {
            arguments.none(name)?;
            Value::list(value.iterate()?.items.clone())
        }
        "items" => {
            arguments.none(name)?;
            pairs(value)
        }
        "first" | "last" => {
            arguments.none(name)?;
            let items = value.iterate()?;
            let found = if name == "first" { items.items.first() } else { items.items.last() };
            Ok(found.cloned().unwrap_or(Value::Undefined))
        }
        "reverse" => {
            arguments.none(name)?;
            if let Some(text) = value.as_text() {
                return text.altered(text.as_str().chars().rev().collect());
            }
            Value::list(value.iterate()?.items.iter().rev().cloned().collect())
        }
        "attr" => {
            let [name] = arguments.bind(name, ["name"])?;
            let name = name.unwrap_or(Value::Undefined);
            match value {
                // Only what Python calls an attribute: a dict's fields are none.
                Value::Dict(_) => Ok(Value::Undefined),
                other => expressions::attribute(other, string(&name, "the name")?),
            }
        }
        "join" => join(value, arguments),
        "map" => map(value, arguments),
        "select" | "reject" => select(value, arguments, name == "select", false),
        "selectattr" | "rejectattr" => select(value, arguments, name == "selectattr", true),
        "sort" => sort(value, arguments),
        "dictsort" => dictsort(value, arguments),
        "unique" => unique(value, arguments),
        "min" | "max" => extreme(value, name, arguments),
        "sum" => {
            let [path, start] = arguments.bind(name, ["attribute", "start"])?;
            let mut sum = start.unwrap_or(Value::Int(0));
            for item in &value.iterate()?.items {
                sum = arithmetic(Arithmetic::Add, &sum, &key(item, path.as_ref(), true)?)?;
            }
            Ok(sum)
        }
        "groupby" => groupby(value, arguments),
        "batch" => batch(value, arguments),
        _ => slice(value, arguments),
    }
}

/// The item, or its attribute; without its case unless `case_sensitive`.
fn key(item: &Value, path: Option<&Value>, case_sensitive: bool) -> Result<Value, Failure> {
    let value = match path {
        None | Some(Value::None) => item.clone(),
        Some(path) => attribute(item, path, None)?,
    };
    without_case(value, case_sensitive)
}

fn is_true(value: Option<&Value>) -> bool {
    value.is_some_and(Value::is_true)
}

fn join(value: &Value, arguments: Arguments) -> Result<Value, Failure> {
    let [separator, path] = arguments.bind("join", ["d", "attribute"])?;
    let separator = separator.unwrap_or(Value::Undefined);
    let mut out = Buffer::new();
    for (index, item) in value.iterate()?.items.iter().enumerate() {
        step(1)?;
        if index > 0 {
            write_str(&mut out, &separator)?;
        }
        write_str(&mut out, &key(item, path.as_ref(), true)?)?;
    }
    Value::written(out)
}

/// What `map`, `select` and their like go through: nothing where there is nothing, none included.
fn items(value: &Value) -> Result<Rc<List>, Failure> {
    if value.is_true() { value.iterate() } else { List::new(Vec::new()) }
}

/// `map('filter', …)` or `map(attribute='name', default=…)`.
fn map(value: &Value, mut arguments: Arguments) -> Result<Value, Failure> {
    let items = items(value)?;
    let mapped = if arguments.positional.is_empty() {
        let [path, default] = arguments.bind("map", ["attribute", "default"])?;
        let path = path.ok_or_else(|| Failure::fault("map takes the name of a filter, or an attribute"))?;
        items.items.iter().map(|item| attribute(item, &path, default.as_ref())).collect::<Result<_, _>>()?
    } else {
        let name = arguments.positional.remove(0);
        let name = string(&name, "the name of a filter")?;
        let one = |item| filter(item, name, copied(&arguments));
        items.items.iter().map(one).collect::<Result<_, _>>()?
    };
    Value::list(mapped)
}

fn copied(arguments: &Arguments) -> Arguments {
    Arguments { positional: arguments.positional.clone(), named: arguments.named.clone() }
}

/// The items for which a test holds (or does not), of themselves or of an attribute.
fn select(value: &Value, mut arguments: Arguments, wanted: bool, by_attribute: bool) -> Result<Value, Failure> {
    let mut positional = std::mem::take(&mut arguments.positional).into_iter();
    let path = if by_attribute { positional.next() } else { None };
    if by_attribute && path.is_none() {
        return Err(Failure::fault("missing parameter for attribute name"));
    }
    let test = positional.next();
    arguments.positional = positional.collect();
    let mut selected = Vec::new();
    for item in &items(value)?.items {
        step(1)?;
        let tested = key(item, path.as_ref(), true)?;
        let holds = match &test {
            Some(test) => checks::check(&tested, string(test, "the name of a test")?, copied(&arguments))?,
            None => tested.is_true(),
        };
        if holds == wanted {
            selected.push(item.clone());
        }
    }
    Value::list(selected)
}

/// Sorts by keys that have an order; the sort is stable.
fn sorted(mut keyed: Vec<(Vec<Value>, Value)>, reverse: bool) -> Result<Value, Failure> {
    let mut failure = None;
    keyed.sort_by(|(a, _), (b, _)| {
        for (a, b) in a.iter().zip(b) {
            let order = match a.order(b) {
                Ok(order) => order.unwrap_or(Ordering::Equal),
                Err(error) => {
                    failure.get_or_insert(error);
                    Ordering::Equal
                }
            };
            if order != Ordering::Equal {
                return if reverse { order.reverse() } else { order };
            }
        }
        Ordering::Equal
    });
    match failure {
        Some(failure) => Err(failure),
        None => Value::list(keyed.into_iter().map(|(_, item)| item).collect()),
    }
}

fn sort(value: &Value, arguments: Arguments) -> Result<Value, Failure> {
    let [reverse, case_sensitive, path] = arguments.bind("sort", ["reverse", "case_sensitive", "attribute"])?;
    let case_sensitive = is_true(case_sensitive.as_ref());
    // Several attributes have commas between them.
    let paths: Vec<Option<Value>> = match path.as_ref().and_then(Value::as_str) {
        Some(path) => path.split(',').map(|path| Value::text(path).map(Some)).collect::<Result<_, _>>()?,
        None => vec![path],
    };
    let mut keyed = Vec::new();
    for item in &value.iterate()?.items {
        let keys = paths.iter().map(|path| key(item, path.as_ref(), case_sensitive));
        keyed.push((keys.collect::<Result<_, _>>()?, item.clone()));
    }
    sorted(keyed, is_true(reverse.as_ref()))
}

fn dictsort(value: &Value, arguments: Arguments) -> Result<Value, Failure> {
    let [case_sensitive, by, reverse] = arguments.bind("dictsort", ["case_sensitive", "by", "reverse"])?;
    let place = match by.as_ref().map(|by| string(by, "by")).transpose()? {
        None | Some("key") => 0,
        Some("value") => 1,
        Some(_) => return Err(Failure::fault("dictsort sorts by 'key' or by 'value'")),
    };
    let case_sensitive = is_true(case_sensitive.as_ref());
    let mut keyed = Vec::new();
    for pair in &pairs(value)?.iterate()?.items {
        let by = pair.iterate()?.items[place].clone();
        keyed.push((vec![without_case(by, case_sensitive)?], pair.clone()));
    }
    sorted(keyed, is_true(reverse.as_ref()))
}

fn unique(value: &Value, arguments: Arguments) -> Result<Value, Failure> {
    let [case_sensitive, path] = arguments.bind("unique", ["case_sensitive", "attribute"])?;
    let mut seen: Vec<Value> = Vec::new();
    let mut items = Vec::new();
    'items: for item in &value.iterate()?.items {
        let key = key(item, path.as_ref(), is_true(case_sensitive.as_ref()))?;
        for other in &seen {
            if other.equals(&key)? {
                continue 'items;
            }
        }
        seen.push(key);
        items.push(item.clone());
    }
    Value::list(items)
}

fn extreme(value: &Value, name: &str, arguments: Arguments) -> Result<Value, Failure> {
    let [case_sensitive, path] = arguments.bind(name, ["case_sensitive", "attribute"])?;
    let wanted = if name == "min" { Ordering::Less } else { Ordering::Greater };
    let mut best: Option<(Value, Value)> = None;
    for item in &value.iterate()?.items {
        let key = key(item, path.as_ref(), is_true(case_sensitive.as_ref()))?;
        let better = match &best {
            Some((other, _)) => key.order(other)? == Some(wanted),
            None => true,
        };
        if better {
            best = Some((key, item.clone()));
        }
    }
    Ok(best.map_or(Value::Undefined, |(_, item)| item))
}

fn groupby(value: &Value, arguments: Arguments) -> Result<Value, Failure> {
    let names = ["attribute", "default", "case_sensitive"];
    let [path, default, case_sensitive] = arguments.bind("groupby", names)?;
    let path = path.ok_or_else(|| Failure::fault("groupby takes an attribute"))?;
    let mut keyed = Vec::new();
    for item in &value.iterate()?.items {
        let own = attribute(item, &path, default.as_ref())?;
        let key = without_case(own.clone(), is_true(case_sensitive.as_ref()))?;
        keyed.push((vec![key.clone()], Value::tuple(vec![key, own, item.clone()])?));
    }
    let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
    for entry in &sorted(keyed, false)?.iterate()?.items {
        let parts = entry.iterate()?;
        let [key, own, item] = &parts.items[..] else { continue };
        match groups.last_mut() {
            Some((last, _, items)) if last.equals(key)? => items.push(item.clone()),
            _ => groups.push((key.clone(), own.clone(), vec![item.clone()])),
        }
    }
    let group = |(_, own, items)| Value::tuple(vec![own, Value::list(items)?]);
    Value::list(groups.into_iter().map(group).collect::<Result<_, _>>()?)
}

fn batch(value: &Value, arguments: Arguments) -> Result<Value, Failure> {
    let [count, fill] = arguments.bind("batch", ["linecount", "fill_with"])?;
    let count = usize::try_from(integer(&count.unwrap_or(Value::None), "linecount")?).unwrap_or(0).max(1);
    let mut batches = Vec::new();
    for items in value.iterate()?.items.chunks(count) {
        let mut items = items.to_vec();
        if let Some(fill) = &fill {
            step((count - items.len()) as u64)?;
            items.resize(count, fill.clone());
        }
        batches.push(Value::list(items)?);
    }
    Value::list(batches)
}

/// As many lists as asked for, of about one length.
fn slice(value: &Value, arguments: Arguments) -> Result<Value, Failure> {
    let [count, fill] = arguments.bind("slice", ["slices", "fill_with"])?;
    let count = usize::try_from(integer(&count.unwrap_or(Value::None), "slices")?).unwrap_or(0).max(1);
    step(count as u64)?;
    let list = value.iterate()?;
    let (each, longer) = (list.items.len() / count, list.items.len() % count);
    let mut at = 0;
    let mut slices = Vec::new();
    for index in 0..count {
        let end = at + each + usize::from(index < longer);
        let mut items = list.items[at..end].to_vec();
        if index >= longer && longer > 0 {
            items.extend(fill.clone());
        }
        slices.push(Value::list(items)?);
        at = end;
    }
    Value::list(slices)
}
