/** The live page in a notebook: the page lies in a frame of its own, and p, q and the unit go both ways. */
function render({ model, el }) {
  const frame = document.createElement("iframe");
  Object.assign(frame, { title: "KL divergence of p and q", srcdoc: model.get("page") });
  frame.style.cssText = `border:0;width:100%;height:${model.get("height")}px`;
  const names = ["p", "q", "unit"];
  const ask = () => frame.contentWindow.postMessage({ kullback: Object.fromEntries(names.map((name) => [name, model.get(name)])) }, "*");
  const heard = (e) => {
    if (e.source !== frame.contentWindow || !e.data?.kullback) return;
    for (const name of names) model.set(name, e.data.kullback[name]);
    model.save_changes();
  };
  addEventListener("message", heard);
  frame.addEventListener("load", ask);
  for (const name of names) model.on(`change:${name}`, ask);
  el.append(frame);
  return () => {
    removeEventListener("message", heard);
    for (const name of names) model.off(`change:${name}`, ask);
  };
}
export default { render };
