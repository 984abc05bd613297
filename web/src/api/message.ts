// Messages of the contract between gRPC-Web and the form that /rpc gives them: 64-bit
// integers, Timestamps and Durations are numbers, enums are names, what is unknown is
// null. The gateway does the same for /rpc (services/gateway/src/view.rs).
import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";

const TIMES = new Set(["google.protobuf.Timestamp", "google.protobuf.Duration"]);

/** A message as an answer of /rpc holds it. */
export function fromMessage(schema: DescMessage, message: Message): unknown {
  return shown(reflect(schema, message));
}

function shown(message: ReflectMessage): unknown {
  if (TIMES.has(message.desc.typeName)) return milliseconds(message);
  const fields = message.desc.fields.map((field) => [field.jsonName, value(message, field)]);
  return Object.fromEntries(fields);
}

function value(message: ReflectMessage, field: DescField): unknown {
  const known = field.presence === FeatureSet_FieldPresence.IMPLICIT || message.isSet(field);
  if (!known) return null;
  switch (field.fieldKind) {
    case "list": {
      const items = [...message.get(field)];
      if (field.listKind === "message") return items.map((item) => shown(item as ReflectMessage));
      if (field.listKind === "enum") return items.map((item) => enumName(field.enum, item as number));
      return items.map((item) => scalar(field.scalar, item));
    }
    case "map": {
      const entries = [...message.get(field)];
      return Object.fromEntries(entries.map(([key, item]) => [String(key), mapped(field, item)]));
    }
    case "message":
      return shown(message.get(field));
    case "enum":
      return enumName(field.enum, message.get(field) as number);
    case "scalar":
      return scalar(field.scalar, message.get(field));
  }
}

function mapped(field: DescField & { fieldKind: "map" }, item: unknown): unknown {
  if (field.mapKind === "message") return shown(item as ReflectMessage);
  return field.mapKind === "enum" ? enumName(field.enum, item as number) : scalar(field.scalar, item);
}

function scalar(type: ScalarType, item: unknown): unknown {
  if (type === ScalarType.FIXED64) return (item as bigint).toString(16).padStart(16, "0");
  if (typeof item === "bigint") return Number(item);
  // JSON has no NaN: numbers in a column that are not known.
  return typeof item === "number" && !Number.isFinite(item) ? null : item;
}

/** A value of a newer contract than ours stays a number. */
const enumName = (desc: DescEnum, number: number): string | number => desc.value[number]?.name ?? number;

/** To the microsecond. */
function milliseconds(message: ReflectMessage): number {
  const part = (name: string) => {
    const field = message.desc.field[name];
    return Number(field ? message.get(field) : 0);
  };
  return part("seconds") * 1_000 + Math.trunc(part("nanos") / 1_000) / 1_000;
}

/** A request of /rpc as a message; what is undefined or null is left out. */
export function toMessage(schema: DescMessage, payload: object): Message {
  return built(schema, payload).message as Message;
}

function built(schema: DescMessage, payload: unknown): ReflectMessage {
  const message = reflect(schema);
  if (TIMES.has(schema.typeName)) return time(message, payload as number);
  for (const [name, given] of Object.entries(payload as Record<string, unknown>)) {
    const field = schema.fields.find((found) => found.jsonName === name);
    if (!field) throw new Error(`${schema.name} has no field ${name}`);
    if (given === undefined || given === null) continue;
    if (field.fieldKind === "list") {
      const list = message.get(field);
      for (const item of given as unknown[]) list.add(single(field, item) as never);
    } else if (field.fieldKind === "map") {
      const map = message.get(field);
      for (const [key, item] of Object.entries(given)) map.set(key, item as never);
    } else message.set(field, single(field, given) as never);
  }
  return message;
}

function single(field: DescField, given: unknown): unknown {
  if (field.message) return built(field.message, given);
  if (field.enum) return field.enum.values.find(({ name }) => name === given)?.number ?? given;
  switch (field.scalar) {
    case ScalarType.FIXED64:
      return BigInt(`0x${given}`);
    case ScalarType.INT64:
    case ScalarType.UINT64:
      return BigInt(given as number);
    default:
      return given;
  }
}

function time(message: ReflectMessage, milliseconds: number): ReflectMessage {
  const micros = Math.round(milliseconds * 1_000);
  const seconds = Math.floor(micros / 1_000_000);
  const { seconds: whole, nanos } = message.desc.field;
  if (whole) message.set(whole, BigInt(seconds));
  if (nanos) message.set(nanos, (micros - seconds * 1_000_000) * 1_000);
  return message;
}
