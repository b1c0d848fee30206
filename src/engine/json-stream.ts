import { StringDecoder } from 'node:string_decoder';

/**
 * The objects of a stream of JSON values, one per line, as the engine writes its progress and its events; chunk
 * borders may fall anywhere, also within a character. Rejects with SyntaxError on a line that is no JSON.
 */
export async function* jsonLines(source: AsyncIterable<Buffer>): AsyncGenerator {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of source) {
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') yield JSON.parse(line);
  }
  rest += decoder.end();
  if (rest.trim() !== '') yield JSON.parse(rest);
}
