declare module "swagger-ui-dist/swagger-ui-es-bundle.js" {
  /** The part of Swagger UI's configuration that this page uses. */
  export default function swaggerUi(options: {
    url: string;
    dom_id: string;
    deepLinking: boolean;
    validatorUrl: null;
  }): unknown;
}
