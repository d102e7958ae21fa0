// Somebody has got markup into the page: what of it runs, or leaves for the address in `argument`?
const broken = [];
document.addEventListener("securitypolicyviolation", (event) => broken.push(event.effectiveDirective));
const put = (html) => document.body.insertAdjacentHTML("beforeend", html);
const script = document.createElement("script");
script.textContent = "window.pwned = 1";
document.body.append(script);
put(`<img src="${argument}/x.png"><style>p { color: red }</style>`);
put(`<p id="bait" style="color: red" onclick="window.pwned = 1">x</p>`);
put(`<base href="${argument}/"><iframe src="${argument}/"></iframe>`);
put(`<form action="${argument}/"><button id="send"></button></form>`);
document.querySelector("#bait").click();
const held = new Promise((resolve) => {
  document.addEventListener("securitypolicyviolation", (event) => event.effectiveDirective === "form-action" && resolve());
});
document.querySelector("#send").click();
const name = (error) => error.name;
const names = [await fetch(`${argument}/x`).catch(name), await import(`${argument}/x.js`).catch(name)];
try {
  (0, eval)("window.pwned = 1");
} catch (error) {
  names.push(error.name);
}
await held;
return { pwned: window.pwned ?? null, names, broken: [...new Set(broken)].sort() };
