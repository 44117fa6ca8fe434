// COMPAT(node < 22): the SDK asks for node 22, of which it needs only this one function; older machines have node 20.

Promise.withResolvers ??= function withResolvers() {
  let resolve, reject;
  const promise = new Promise((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
};
