/** Parser of server-sent events: lines in, the data of whole events out. */

/** Yield the data of each event; comments and other fields are passed over. */
export async function* eventData(lines: AsyncIterable<readonly string[]>): AsyncGenerator<string> {
  let data: string[] = [];
  for await (const some of lines)
    for (const raw of some) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
      if (line === "") {
        if (data.length) yield data.join("\n");
        data = [];
      } else if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
    }
  if (data.length) yield data.join("\n");
}
