// Starts Swagger UI on this gateway's own description, as light or dark as the reader's system.

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

const ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  filter: true,
  persistAuthorization: false,
  // No request leaves for another place: the validator's badge would be one.
  validatorUrl: null,
  onComplete: () => {
    document.title = ui.specSelectors.info().get("title") || document.title;
  },
});
