// What the build leaves out of the libraries because the page never runs it: 7 kB
// gzip of the dashboard's budget (`npm run size`). Development and tests have all of it.
import type { Plugin } from "vite";

/** Modules of libraries by the end of their path, and what stands in their place. */
const INSTEAD: Record<string, string> = {
  // gRPC-Web speaks binary only.
  "@bufbuild/protobuf/dist/esm/from-json.js": missing(
    "fromJson",
    "mergeFromJson",
    "fromJsonString",
    "mergeFromJsonString",
    "enumFromJson",
    "isEnumJson",
  ),
  "@bufbuild/protobuf/dist/esm/to-json.js": missing("toJson", "toJsonString", "enumToJson"),
  // Default values written in a .proto: proto3 has none.
  "@bufbuild/protobuf/dist/esm/wire/text-format.js": missing(
    "parseTextFormatEnumValue",
    "parseTextFormatScalarValue",
  ),
  // Checks of each value that is set: those of the page are typed, and those of
  // answers have just been decoded.
  "@bufbuild/protobuf/dist/esm/reflect/reflect-check.js": `
    export const checkField = () => {}, checkListItem = checkField, checkMapEntry = checkField;
    ${missing("formatVal")}`,
  // Browsers have it built in.
  "@bufbuild/protobuf/dist/esm/wire/base64-encoding.js": `
    export const base64Decode = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    ${missing("base64Encode")}`,
  // The page writes with `rpc` and has no infinite queries.
  "@tanstack/query-core/build/modern/mutationCache.js": `
    export class MutationCache {
      resumePausedMutations() {}
      clear() {}
    }`,
  "@tanstack/query-core/build/modern/infiniteQueryBehavior.js": missing(
    "infiniteQueryBehavior",
    "hasNextPage",
    "hasPreviousPage",
  ),
  // Of CommonJS, so that each element would cost the page a look into an object.
  "react/jsx-runtime.js": `
    import runtime from "./cjs/react-jsx-runtime.production.js";
    export const { Fragment, jsx, jsxs } = runtime;`,
  // Built into React since 18.
  "use-sync-external-store/shim/index.js": `export { useSyncExternalStore } from "react";`,
};

/** Functions that throw when called: the page would have to need them again. */
function missing(...names: string[]): string {
  return names
    .map((name) => `export function ${name}() { throw new Error("${name} is left out of this build"); }`)
    .join("\n");
}

/** Replaces the modules above. */
export const withoutUnused: Plugin = {
  name: "without-unused",
  apply: "build",
  load: (id) => INSTEAD[id.split("/node_modules/").at(-1) ?? ""] ?? null,
};

/** Messages and fields of descriptor.proto that the descriptors in src/gen hold. */
const DESCRIPTOR: Record<string, string> = {
  FileDescriptorProto: "name package dependency message_type enum_type service extension syntax",
  DescriptorProto: "name field nested_type enum_type oneof_decl extension options",
  FieldDescriptorProto: "name number label type type_name oneof_index json_name proto3_optional",
  OneofDescriptorProto: "name",
  EnumDescriptorProto: "name value",
  EnumValueDescriptorProto: "name number",
  ServiceDescriptorProto: "name method",
  MethodDescriptorProto: "name input_type output_type client_streaming server_streaming",
  MessageOptions: "map_entry",
};

interface Field {
  name: string;
  type: number;
  label?: number;
  typeName?: string;
  defaultValue?: string;
}
const [INT32, ENUM, OPTIONAL] = [5, 14, 1];

/** The description of descriptions without options, editions and sources, which is most of it. */
export const slimDescriptor: Plugin = {
  name: "slim-descriptor",
  apply: "build",
  transform: (code, id) =>
    id.endsWith("/gen/google/protobuf/descriptor_pb.js")
      ? code.replace(/boot\((\{.*\})\);$/m, (_, text: string) => {
          const file = JSON.parse(text) as { messageType: { name: string; field: Field[] }[] };
          const messageType = file.messageType.map(({ name, field }) => {
            const kept = DESCRIPTOR[name]?.split(" ");
            return kept
              ? { name, field: field.filter((one) => kept.includes(one.name)).map(slim) }
              : { name };
          });
          return `boot(${JSON.stringify({ ...file, messageType, enumType: [] })});`;
        })
      : null,
};

/** Enums are numbers on the wire, a field without a label is optional, and what is not set is false or 0. */
function slim({ label, type, typeName, defaultValue, ...field }: Field): object {
  if (![undefined, "false"].includes(defaultValue)) throw new Error(`${field.name} has a default value`);
  return {
    ...field,
    ...(label === OPTIONAL ? {} : { label }),
    ...(type === ENUM ? { type: INT32 } : { type, typeName }),
  };
}
