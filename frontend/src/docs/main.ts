import "swagger-ui-dist/swagger-ui.css";
import swaggerUi from "swagger-ui-dist/swagger-ui-es-bundle.js";

// No validator: it would ask a third party about this server's description.
swaggerUi({ url: "/api/openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null });
