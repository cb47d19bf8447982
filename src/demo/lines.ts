// The lines that the demo ends with; a test pastes them into a shell as they are.

/** What a person may type next, for the app of a lab's cluster, from the checkout's folder. */
export function linesToTry(lab: string, app: string): string[] {
  return [
    `. .lab/${lab}/env`,
    `flynn ps -a ${app}`,
    `flynn scale -a ${app} web=6`,
    `flynn logs -a ${app} -n 5`,
    'flynn cluster status',
  ];
}
